package org.megabyte4j.model;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.ParameterLayout;

/**
 * Fresh weights as in the reference: Linear and embedding weights normal with standard deviation
 * {@code initializer_range}, biases 0, LayerNorm weights 1. The same seed gives the same weights on every device.
 */
public final class Initializer {
    private Initializer() {
    }

    public static void initialize(Parameters parameters, Backend backend, long seed) {
        double deviation = parameters.config().initializerRange();
        for (ParameterLayout.Entry entry : parameters.layout().entries()) {
            try (Arena scratch = Arena.ofConfined()) {
                MemorySegment values = scratch.allocate(ValueLayout.JAVA_FLOAT, entry.elements());
                if (entry.shape().length == 2) {
                    // A generator of its own for each tensor: a weight does not depend on which others exist.
                    var random = new SplittableRandom(seed * 0x9E3779B97F4A7C15L + entry.name().hashCode());
                    for (long i = 0; i < entry.elements(); i++) {
                        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (deviation * random.nextGaussian()));
                    }
                } else if (isNormWeight(entry.name())) {
                    values.asSlice(0).elements(ValueLayout.JAVA_FLOAT).forEach(v -> v.set(ValueLayout.JAVA_FLOAT, 0, 1f));
                }
                backend.write(parameters.get(entry.name()), values);
            }
        }
        parameters.refresh(backend);
    }

    private static boolean isNormWeight(String name) {
        return name.endsWith(".norm.weight") || name.endsWith(".1.0.weight");
    }
}
