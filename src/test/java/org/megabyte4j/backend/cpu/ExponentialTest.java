package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** exp of both providers against {@link Math#exp}, over all float32 arguments that a softmax can meet. */
class ExponentialTest {
    static Stream<Kernels> providers() {
        return Stream.of(new VectorKernels(), new PlainKernels());
    }

    @ParameterizedTest
    @MethodSource("providers")
    void relativeErrorIsAtMostTwoUnitsInTheLastPlace(Kernels kernels) {
        float[] values = sweep();
        float[] actual = exp(kernels, values, 0, 1);
        for (int i = 0; i < values.length; i++) {
            double expected = Math.exp(values[i]);
            // Subnormal results are 0.
            double allowed = expected < Float.MIN_NORMAL ? Float.MIN_NORMAL : expected * 0x1p-22;
            assertThat(Math.abs(actual[i] - expected)).as("exp(%s) = %s", values[i], actual[i])
                    .isLessThanOrEqualTo(allowed);
        }
    }

    /** Random arguments of every magnitude, a close sweep, and what lies next to each multiple of ln(2)/2. */
    private static float[] sweep() {
        Random random = new Random(7);
        float[] values = new float[120_000];
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (i % 3) {
                case 0 -> -105 + 193 * (i / (float) values.length);
                case 1 -> {
                    float edge = (float) ((i % 401 - 273) * Math.log(2) / 2);
                    yield Float.intBitsToFloat(Float.floatToRawIntBits(edge) + random.nextInt(-3, 4));
                }
                default -> (float) (Math.scalb(1.0, random.nextInt(-30, 7)) * (random.nextFloat() - 1));
            };
            values[i] = values[i] > 88 || Float.isNaN(values[i]) ? 0 : values[i];
        }
        return values;
    }

    @ParameterizedTest
    @MethodSource("providers")
    void theEndsOfTheRange(Kernels kernels) {
        float[] values = new float[23];
        for (int at = 0; at < values.length; at++) {
            Arrays.fill(values, 0);
            values[at] = Float.NEGATIVE_INFINITY;
            assertThat(exp(kernels, values, 0, 1)[at]).isEqualTo(0);
            values[at] = -Float.MAX_VALUE;
            assertThat(exp(kernels, values, Float.MAX_VALUE, 1)[at]).isEqualTo(0);
            values[at] = Float.MAX_VALUE;
            assertThat(exp(kernels, values, 0, 1)[at]).isFinite().isGreaterThan(2e38f);
            values[at] = Float.NaN;
            assertThat(exp(kernels, values, 0, 1)[at]).isNaN();
            values[at] = 0;
            assertThat(exp(kernels, values, 0, 1)[at]).isEqualTo(1);
        }
    }

    @ParameterizedTest
    @MethodSource("providers")
    void shiftAndFactorApply(Kernels kernels) {
        float[] actual = exp(kernels, new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 3, 0.5f);
        for (int i = 0; i < actual.length; i++) {
            double expected = 0.5 * Math.exp(i - 2);
            assertThat(Math.abs(actual[i] - expected)).isLessThanOrEqualTo(expected * 0x1p-22);
        }
    }

    @Test
    void bothProvidersGiveTheSameBits() {
        float[] values = sweep();
        assertThat(exp(new VectorKernels(), values, 0.1f, 0.9f)).isEqualTo(exp(new PlainKernels(), values, 0.1f, 0.9f));
    }

    private static float[] exp(Kernels kernels, float[] values, float shift, float factor) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment x = arena.allocateFrom(ValueLayout.JAVA_FLOAT, values);
            kernels.exp(x, 0, shift, factor, x, 0, values.length);
            return x.toArray(ValueLayout.JAVA_FLOAT);
        }
    }
}
