package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** GELU with its bias, and its derivative: each value of a sweep, and the tensors of a layer. */
class GeluKernelsTest {
    /** Where phi is subnormal, it may be 0. */
    private static final double TINY = 1e-36;

    private static float[] sweep() {
        float[] special = {0f, -0f, 1e-38f, -1e-38f, 1e-20f, -1e-20f, 1e-6f, -1e-6f, 20, -20, 100, -100, 1e10f, -1e10f,
            1e19f, -1e19f, 3e38f, -3e38f};
        float[] values = new float[special.length + 32_001];
        System.arraycopy(special, 0, values, 0, special.length);
        for (int i = special.length; i < values.length; i++) {
            values[i] = (i - special.length - 16_000) / 1000f;
        }
        return values;
    }

    private static Function<Tensors, Consumer<Ops>> backward(float[] values) {
        return t -> {
            Tensor x = t.values(values, values.length);
            Tensor ones = t.zeros(values.length);
            Tensor derivative = t.result("derivative", values.length);
            Tensor activated = t.result("activated", values.length);
            return ops -> {
                ops.fill(ones, 1);
                ops.geluBackward(x, ones, derivative, activated);
            };
        };
    }

    /**
     * What float32 costs, relative to the value: the polynomial and the approximations of 2^x and 1/x half a millionth
     * each, the rounding of x^2 / 2 and of its product up to x^2 2^-24 each. For the derivative, relative to its parts.
     */
    @Test
    void everyValueIsCloseToDoublePrecision() {
        float[] values = sweep();
        Map<String, float[]> expected = Comparison.expected(DType.F32, backward(values));
        Map<String, float[]> actual = KernelComparison.run(DType.F32, backward(values));
        for (int i = 0; i < values.length; i++) {
            double x = values[i];
            double gelu = expected.get("activated")[i];
            double relative = 1e-6 + x * x * 0x1p-23;
            double parts = (x == 0 ? 0.5 : gelu / x) + Math.abs(x) * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
            near("gelu", values[i], actual.get("activated")[i], gelu, relative * Math.abs(gelu));
            near("gelu'", values[i], actual.get("derivative")[i], expected.get("derivative")[i], relative * parts);
        }
    }

    private static void near(String what, float x, double actual, double expected, double allowed) {
        assertThat(Math.abs(actual - expected) <= allowed + TINY)
                .as("%s(%s) is %s, not %s", what, x, actual, expected).isTrue();
    }

    @Test
    void notANumberStaysWhereItIs() {
        for (int at = 0; at < 37; at++) {
            float[] values = new float[37];
            values[at] = at % 2 == 0 ? Float.NaN : -Float.NaN;
            Map<String, float[]> results = KernelComparison.run(DType.F32, backward(values));
            for (float[] result : results.values()) {
                assertThat(IntStream.range(0, 37).filter(i -> Float.isNaN(result[i]))).containsExactly(at);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 8, 9, 4096, 4097, 8193, 30_011})
    void backwardMayWorkInPlace(int count) {
        KernelComparison.check(t -> {
            Tensor x = t.random(count);
            Tensor dOut = t.random(count);
            Tensor dX = t.result("dX", count);
            Tensor activated = t.result("activated", count);
            Tensor changedGradient = t.changed("dX on dActivated", count);
            Tensor changedInput = t.changed("activated on the pre-activation", count);
            return ops -> {
                ops.geluBackward(x, dOut, dX, activated);
                ops.geluBackward(changedInput, changedGradient, changedGradient, changedInput);
            };
        });
    }

    /** The forward kernel against the CPU-tested backward formula's forward half: the same bits, bias or not. */
    @ParameterizedTest
    @ValueSource(ints = {1, 5, 8, 24, 33, 264})
    void forwardIsWhatBackwardComputesAgain(int columns) {
        int rows = 37;
        CudaBackend backend = TestDevice.backend();
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            Function<Tensors, Consumer<Ops>> work = t -> {
                Tensor pre = t.changed("pre-activation", rows, columns);
                Tensor bias = t.random(columns);
                Tensor zero = t.zeros(columns);
                Tensor ones = t.zeros(rows, columns);
                Tensor activated = t.result("activated", rows, columns);
                Tensor plain = t.result("without bias", rows, columns);
                Tensor withZero = t.result("with a bias of zero", rows, columns);
                Tensor again = t.result("again", rows, columns);
                Tensor inPlace = t.result("in place", rows, columns);
                return ops -> {
                    ops.geluBackward(pre, ones, ones, again);
                    ops.copy(pre, inPlace);
                    if (!(ops instanceof CudaWorkspaceMeter)) {
                        GeluKernels gelu = backend.kernels().gelu();
                        gelu.gelu(pre, null, plain);
                        gelu.gelu(pre, zero, withZero);
                        gelu.gelu(inPlace, null, inPlace);
                        gelu.gelu(pre, bias, activated);
                    }
                };
            };
            Map<String, float[]> results = KernelComparison.run(dtype, work);
            assertThat(results.get("without bias")).isEqualTo(results.get("again"));
            assertThat(results.get("with a bias of zero")).isEqualTo(results.get("again"));
            assertThat(results.get("in place")).isEqualTo(results.get("again"));
            biased(dtype, columns, results);
        }
    }

    /** The bias is added, rounded and kept; GELU is of what is kept. */
    private static void biased(DType dtype, int columns, Map<String, float[]> results) {
        int count = results.get("activated").length;
        Map<String, float[]> expected = Comparison.expected(dtype, t -> {
            Tensor sum = t.changed("pre-activation", count / columns, columns);
            Tensor bias = t.changed("bias", columns);
            return ops -> { };
        });
        float[] sum = expected.get("pre-activation");
        for (int i = 0; i < count; i++) {
            sum[i] += expected.get("bias")[i % columns];
        }
        Comparison.near(TestDevice.backend(), dtype + " pre-activation", results.get("pre-activation"), sum,
                dtype == DType.F32 ? KernelComparison.FLOAT32 : 0x1p-8);
        float[] kept = results.get("pre-activation");
        float[] of = KernelComparison.run(dtype, backward(kept)).get("activated");
        assertThat(results.get("activated")).isEqualTo(of);
    }
}
