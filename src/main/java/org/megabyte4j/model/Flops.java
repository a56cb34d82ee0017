package org.megabyte4j.model;

/**
 * The floating-point operations that a model needs by its mathematics, whoever computes it: {@code 2 * rows * in * out}
 * for a Linear layer, {@code 4 * width} for each pair of query and key that the causal mask leaves, and nothing else.
 * What an implementation computes twice, or computes and masks, does not count.
 */
public final class Flops {
    private Flops() {
    }

    /**
     * Forward and backward over {@code batch} sequences of {@code length} bytes. Backward needs two products for each
     * one of forward, so this is three times forward.
     */
    public static long ofTrainingStep(MegabyteConfig config, int batch, int length) {
        return 3 * ofForward(config, batch, length);
    }

    /** Forward over {@code batch} sequences of {@code length} bytes. */
    public static long ofForward(MegabyteConfig config, int batch, int length) {
        long rows = (long) batch * length;
        int patches = length / config.patchSize();
        int local = config.localSize();
        long embedding = config.variant() == Variant.IN_ACTION ? linear(rows, config.globalEmbeddingSize(), local) : 0;
        return config.globalLayers()
                    * layer(batch, patches, config.globalSize(), config.globalHeads(), config.globalHeadSize())
                + linear(rows, config.globalEmbeddingSize(), local)
                + embedding
                + config.localLayers() * layer((long) batch * patches, config.patchSize(), local, config.localHeads(),
                        config.localHeadSize())
                + linear(rows, local, config.vocabularySize());
    }

    /** One layer, forward. */
    static long layer(long sequences, long length, long dim, int heads, int headSize) {
        long rows = sequences * length;
        long width = (long) heads * headSize;
        long attention = 4 * width * sequences * (length * (length + 1) / 2);
        return linear(rows, dim, width + 2L * headSize) + attention + linear(rows, width, dim)
                + 2 * linear(rows, dim, 4 * dim);
    }

    private static long linear(long rows, long in, long out) {
        return 2 * rows * in * out;
    }
}
