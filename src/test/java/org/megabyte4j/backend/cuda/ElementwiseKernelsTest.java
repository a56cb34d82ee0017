package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Bf16;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Fills, copies, casts, biases and sums over rows. */
class ElementwiseKernelsTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 8, 4096, 4097, 8192, 8199, 20_011})
    void fillAndCopyReachEveryElementAndNoOther(int count) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            for (int shift : new int[] {0, 1, 8}) {
                Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                    Tensor all = t.changed("all", t.normal(Double.NaN, count + 16));
                    Tensor from = t.changed("from", count);
                    Tensor to = t.changed("to", t.normal(Double.NaN, count + 16));
                    Tensor ints = t.changed("ints", t.ints(new int[count + 16]));
                    Tensor copied = t.changed("copied", t.ints(new int[count + 16]));
                    return ops -> {
                        ops.fill(all.part(shift, count), 0.1f);
                        ops.copy(from, to.part(shift, count));
                        ops.fill(ints.part(shift, count), -7);
                        ops.copy(ints.part(shift, count), copied.part(0, count));
                    };
                });
                float value = dtype == DType.F32 ? 0.1f : Bf16.round(0.1f);
                assertThat(results.get("all")).isEqualTo(within(count, shift, Float.NaN, i -> value));
                float[] from = results.get("from");
                assertThat(results.get("to")).isEqualTo(within(count, shift, Float.NaN, i -> from[i]));
                assertThat(results.get("ints")).isEqualTo(within(count, shift, 0, i -> -7));
                assertThat(results.get("copied")).isEqualTo(within(count, 0, 0, i -> -7));
            }
        }
    }

    private interface Values {
        float at(int i);
    }

    private static float[] within(int count, int shift, float around, Values values) {
        float[] all = new float[count + 16];
        Arrays.fill(all, around);
        for (int i = 0; i < count; i++) {
            all[shift + i] = values.at(i);
        }
        return all;
    }

    /** Ties, halves of the last place, numbers that round to infinity, and what is no number. */
    @Test
    void castsRoundToTheNearestEven() {
        float[] values = new float[70_000];
        for (int i = 0; i < 65536; i++) {
            values[i] = Float.intBitsToFloat(i << 16 | (i % 3 == 0 ? 0x8000 : i % 3 == 1 ? 0x7fff : 0x8001));
        }
        Map<String, float[]> results = KernelComparison.run(DType.F32, t -> {
            Tensor from = t.values(values, values.length);
            Tensor half = t.changed("half", t.values(DType.BF16, new float[values.length], values.length));
            Tensor back = t.result("back", values.length);
            Tensor odd = t.result("odd", values.length - 1);
            return ops -> {
                ops.copy(from, half);
                ops.copy(half, back);
                ops.copy(half.part(1, values.length - 1), odd);
            };
        });
        float[] rounded = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            rounded[i] = Bf16.round(values[i]);
        }
        assertThat(results.get("half")).isEqualTo(rounded);
        assertThat(results.get("back")).isEqualTo(rounded);
        assertThat(results.get("odd")).isEqualTo(Arrays.copyOfRange(rounded, 1, rounded.length));
    }

    @Test
    void whatCannotBeCopiedIsSaid() {
        TestDevice.backend();    // without a device the test is skipped, not failed
        assertThatThrownBy(() -> KernelComparison.run(DType.F32, t -> {
            Tensor from = t.random(3);
            Tensor to = t.ints(1, 2, 3);
            return ops -> ops.copy(from, to);
        })).isInstanceOf(IllegalArgumentException.class).hasMessage("F32[3] cannot be copied to I32[3]");
    }

    record Sizes(int rows, int columns) { }

    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1), new Sizes(7, 1), new Sizes(1, 5), new Sizes(3, 8), new Sizes(65, 16),
                new Sizes(129, 24), new Sizes(1031, 3), new Sizes(300, 33), new Sizes(70, 264), new Sizes(67, 257),
                new Sizes(5, 1032), new Sizes(2100, 64), new Sizes(2, 40_008));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void columnSumsAreAddedToWhatIsThere(Sizes s) {
        float[] start = new float[s.columns];
        Arrays.fill(start, 0.5f);
        compare(s, (kernels, t) -> {
            Tensor x = t.random(s.rows, s.columns);
            Tensor sums = t.changed("sums", t.values(DType.F32, start, s.columns));
            Tensor workspace = t.scratch(DType.U8, kernels.columnSumsWorkspaceBytes(s.rows, s.columns));
            return () -> kernels.columnSums(x, sums, workspace);
        }, inputs -> {
            double[] sums = new double[s.columns];
            Arrays.fill(sums, 0.5);
            for (int i = 0; i < inputs.length; i++) {
                sums[i % s.columns] += inputs[i];
            }
            return sums;
        }, KernelComparison.FLOAT32);
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void aBiasIsAddedToEachRow(Sizes s) {
        float[] bias = new float[s.columns];
        for (int i = 0; i < s.columns; i++) {
            bias[i] = i % 17 - 8;
        }
        compare(s, (kernels, t) -> {
            Tensor x = t.changed("sums", t.random(s.rows, s.columns));
            Tensor added = t.values(bias, s.columns);
            return () -> kernels.addBias(x, added);
        }, inputs -> {
            double[] sums = new double[inputs.length];
            for (int i = 0; i < inputs.length; i++) {
                sums[i] = inputs[i] + bias[i % s.columns];
            }
            return sums;
        }, 0x1p-9);
    }

    private interface Kernels {
        Runnable work(ElementwiseKernels kernels, Tensors tensors);
    }

    private interface Formula {
        double[] of(float[] inputs);
    }

    /** Kernels that are no operations of their own; the first random tensor is the input. */
    private static void compare(Sizes s, Kernels kernels, Formula formula, double bf16) {
        CudaBackend backend = TestDevice.backend();
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            float[] inputs = Comparison.expected(dtype, t -> {
                t.changed("inputs", t.random(s.rows, s.columns));
                return ops -> { };
            }).get("inputs");
            double[] sums = formula.of(inputs);
            float[] expected = new float[sums.length];
            for (int i = 0; i < sums.length; i++) {
                expected[i] = (float) sums[i];
            }
            Function<Tensors, Consumer<Ops>> work = t -> {
                Runnable launches = kernels.work(backend.kernels().elementwise(), t);
                return ops -> {
                    if (!(ops instanceof CudaWorkspaceMeter)) {
                        launches.run();
                    }
                };
            };
            List<Map<String, float[]>> runs = Comparison.run(backend, dtype, work, 2);
            Comparison.near(backend, dtype + " " + s, runs.getFirst().get("sums"), expected,
                    dtype == DType.F32 ? KernelComparison.FLOAT32 : bf16);
            Comparison.sameBits(backend, runs.getFirst(), runs.getLast());
            TestDevice.inRandomOrder(1, () -> Comparison.sameBits(backend, runs.getFirst(),
                    Comparison.run(backend, dtype, work, 1).getFirst()));
        }
    }
}
