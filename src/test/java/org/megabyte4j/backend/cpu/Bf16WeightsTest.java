package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Bf16;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Linear layers of float32 activations and weights in bf16. */
class Bf16WeightsTest {
    private static final double TOLERANCE = 1e-6;

    record Sizes(int rows, int in, int out) { }

    /** Few rows and many, one more than a vector, and weights that are widened in several blocks. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 1), new Sizes(1, 7, 3), new Sizes(2, 33, 17), new Sizes(8, 129, 300),
                new Sizes(9, 65, 63), new Sizes(1031, 5, 3), new Sizes(12, 2049, 520));
    }

    private static float[] rounded(int count, long seed) {
        Random random = new Random(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = Bf16.value(Bf16.bits((float) random.nextGaussian()));
        }
        return values;
    }

    private static Function<Tensors, Consumer<Ops>> layer(Sizes s, DType weights) {
        return t -> {
            Tensor weight = t.values(weights, rounded(s.out * s.in, 5), s.out, s.in);
            Tensor x = t.random(s.rows, s.in);
            Tensor bias = t.random(s.out);
            Tensor addend = t.random(s.rows, s.out);
            Tensor plain = t.result("plain", s.rows, s.out);
            Tensor both = t.result("with bias and addend", s.rows, s.out);
            Tensor inPlace = t.changed("in place", s.rows, s.out);
            Tensor before = t.result("pre-activation", s.rows, s.out);
            Tensor activated = t.result("activated", s.rows, s.out);
            return ops -> {
                ops.linear(x, weight, null, null, plain);
                ops.linear(x, weight, bias, addend, both);
                ops.linear(x, weight, bias, inPlace, inPlace);
                ops.linearGelu(x, weight, bias, before, activated);
            };
        };
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void aLayerIsThatOfItsRoundedWeights(Sizes s) {
        try (CpuBackends backends = new CpuBackends()) {
            Comparison.check(backends.all(), TOLERANCE, layer(s, DType.BF16));
        }
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void fewRowsGiveTheBitsOfTheSameWeightsInFloat32(Sizes s) {
        if (s.rows > 8) {
            return;
        }
        try (CpuBackends backends = new CpuBackends()) {
            for (CpuBackend backend : backends.all()) {
                Map<String, float[]> expected = Comparison.run(backend, layer(s, DType.F32));
                Comparison.sameBits(backend, expected, Comparison.run(backend, layer(s, DType.BF16)));
            }
        }
    }

    @Test
    void kernelsSeeEveryValueOfBf16() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment half = arena.allocate(2 << 16, 64);
            MemorySegment wide = arena.allocate(4 << 16, 64);
            for (int i = 0; i < 1 << 16; i++) {
                half.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) i);
            }
            for (Kernels kernels : List.of(new PlainKernels(), new VectorKernels())) {
                wide.fill((byte) 0);
                kernels.widen(half, 0, wide, 0, 65535);
                for (int i = 0; i < 65536; i++) {
                    int bits = wide.getAtIndex(ValueLayout.JAVA_INT, i);
                    assertThat(bits).as("%s, %x", kernels.name(), i).isEqualTo(i == 65535 ? 0 : i << 16);
                }
            }
        }
    }

    /** Tails of every length, from odd places. */
    @Test
    void dotProductsAreThoseOfTheWidenedWeights() {
        try (Arena arena = Arena.ofConfined()) {
            int most = 300;
            float[] values = rounded(most, 3);
            MemorySegment half = arena.allocate(2L * most, 64);
            MemorySegment wide = arena.allocate(4L * most, 64);
            MemorySegment x = arena.allocate(4L * most, 64);
            for (int i = 0; i < most; i++) {
                BFloat16.set(half, i, values[i]);
                PlainKernels.set(wide, i, values[i]);
                PlainKernels.set(x, i, (float) Math.sin(i));
            }
            for (Kernels kernels : List.of(new PlainKernels(), new VectorKernels())) {
                for (int count = 0; count < most - 3; count++) {
                    assertThat(kernels.dotBf16(x, 2, half, 3, count)).as("%s of %d", kernels.name(), count)
                            .isEqualTo(kernels.dot(x, 2, wide, 3, count));
                }
            }
        }
    }
}
