package org.megabyte4j.model;

import java.util.Random;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.DType;

/** Small models for tests. */
public final class TestModels {
    private TestModels() {
    }

    /** Two layers in each stack, heads of sizes that are not powers of two. */
    public static MegabyteConfig config(Variant variant, int patchSize) {
        return new MegabyteConfig(variant, 29, patchSize, 6, 10, 12 * patchSize, 2, 2, 2, 2, 0.02, 27, 28);
    }

    /** Three local heads of 3 in a local width of 10, as the reference's Hugging Face wrapper makes them. */
    public static MegabyteConfig narrowHeads(Variant variant) {
        return new MegabyteConfig(variant, 29, 3, 6, 10, 36, 2, 2, 3, 3, 0.02, 27, 28, 3);
    }

    /** Weights that make every path count: matrices N(0, 1/fan-in), biases N(0, 0.1), norms around 1. */
    public static Parameters random(MegabyteConfig config, Backend backend, long seed) {
        return random(config, DType.F32, backend, seed);
    }

    /** The same weights for a model that computes in {@code dtype}. */
    public static Parameters random(MegabyteConfig config, DType dtype, Backend backend, long seed) {
        Parameters parameters = new Parameters(config, dtype);
        parameters.allocate(backend);
        Random random = new Random(seed);
        for (var entry : parameters.layout().entries()) {
            boolean matrix = entry.shape().length == 2;
            double deviation = !matrix ? 0.1 : entry.name().contains("embed") ? 0.5 : Math.pow(entry.shape()[1], -0.5);
            double mean = entry.name().endsWith("norm.weight") || entry.name().endsWith(".1.0.weight") ? 1 : 0;
            float[] values = new float[(int) entry.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (mean + deviation * random.nextGaussian());
            }
            backend.write(parameters.get(entry.name()), values);
        }
        parameters.refresh(backend);
        return parameters;
    }

    public static int[] ids(int count, int vocabulary, long seed) {
        return new Random(seed).ints(count, 0, vocabulary).toArray();
    }
}
