package org.megabyte4j.jmh;

import java.util.List;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Presets;

/**
 * How large the cases are.
 *
 * @param model      whose layers
 * @param batch      sequences
 * @param length     bytes of each
 * @param attention  lengths in patches of single sequences, beside those of the model
 * @param context    patches in the cache of a generation
 * @param rotation   bytes that the sets of one case take together, so that none finds its input in a cache
 * @param copyBytes  of the copy that the bandwidth is measured by
 * @param product    rows, columns and inner size of the product that the arithmetic is measured by
 */
record KernelSizes(MegabyteConfig model, long batch, long length, List<Integer> attention, int context, long rotation,
        long copyBytes, int product) {
    /** Those of the preset {@code benchmark}, batch 32. The rotation is more than the second-level cache of any GPU. */
    static final KernelSizes BENCHMARK = new KernelSizes(Presets.named("benchmark"), 32, 2048, List.of(4096, 16384),
            16384, 256L << 20, 1L << 30, 8192);

    /** For the simulated device, which only shows that everything runs. */
    static final KernelSizes TINY = new KernelSizes(Presets.named("tiny"), 1, 64, List.of(20), 40, 1, 1 << 16, 32);

    static KernelSizes named(String name) {
        return switch (name) {
            case "benchmark" -> BENCHMARK;
            case "tiny" -> TINY;
            default -> throw new IllegalArgumentException("unknown sizes " + name + "; they are benchmark and tiny");
        };
    }

    /** Bytes of all sequences: rows of the local model. */
    long positions() {
        return batch * length;
    }

    /** Patches of all sequences: rows of the global model. */
    long patches() {
        return positions() / model.patchSize();
    }
}
