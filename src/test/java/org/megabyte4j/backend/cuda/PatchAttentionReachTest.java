package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.megabyte4j.backend.AttentionBias.ALIBI;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Heads that go back only as far as they look, on sequences so short that the plan would not choose so by itself. */
class PatchAttentionReachTest {
    private static final DType[] TYPES = {DType.F32, DType.BF16};

    /**
     * Sixteen heads and more, of which the steepest look back some 150 positions; heads in groups that divide a tile
     * and that do not; one group and several of key/value heads; rows that are no vectors.
     */
    static Stream<AttentionShape> shapes() {
        return Stream.of(new AttentionShape(1, 290, 16, 1, 16), new AttentionShape(2, 250, 18, 3, 6));
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void everyGroupOfHeadsComputesTheSame(AttentionShape shape) {
        int all = shape.heads() / shape.keyValueHeads();
        for (DType dtype : TYPES) {
            Map<String, float[]> whole =
                    KernelComparison.run(dtype, work(shape, new PatchAttentionGroup(false, all), 1));
            for (int group : new int[] {1, 2, 3, 8}) {
                if (all % group == 0) {
                    Map<String, float[]> part = KernelComparison.run(dtype,
                            work(shape, new PatchAttentionGroup(true, group), 1));
                    whole.forEach((name, values) -> assertThat(part.get(name)).as(name).isEqualTo(values));
                }
            }
        }
    }

    /** In the workspace of a program, which is one of bytes. */
    @Test
    void operationsFindTheReachToo() {
        AttentionShape shape = new AttentionShape(1, 1500, 8, 8, 16);
        PatchAttentionPlan plan = PatchAttentionPlan.of(shape, ALIBI, DType.BF16, 4);
        assertThat(plan.reachLimited()).isTrue();
        Map<String, float[]> whole =
                KernelComparison.run(DType.BF16, work(shape, new PatchAttentionGroup(false, 1), 1));
        Map<String, float[]> operations = KernelComparison.run(DType.BF16, t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(shape.rows(), shape.width());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
            Tensor keys = qkv.part((shape.rows() - 1) * shape.packedWidth() + shape.width(),
                    shape.keyValueWidth() / 2);
            return ops -> {
                ops.fill(keys, 1);
                ops.causalAttention(shape, qkv, ALIBI, out, logSumExp);
                ops.causalAttentionBackward(shape, qkv, ALIBI, out, logSumExp, dOut, dQkv);
            };
        });
        whole.forEach((name, values) -> assertThat(operations.get(name)).as(name).isEqualTo(values));
    }

    @Test
    void againstDoublePrecision() {
        KernelComparison.check(work(new AttentionShape(1, 250, 16, 1, 8), new PatchAttentionGroup(true, 1), 1));
    }

    /** As {@link org.megabyte4j.backend.AttentionBias#reach} says, and never less. */
    @Test
    void reachIsThatOfTheBias() {
        AttentionShape shape = new AttentionShape(2, 700, 12, 2, 20);
        for (DType dtype : TYPES) {
            for (double deviation : new double[] {0.01, 1, 2}) {
                Map<String, float[]> found = KernelComparison.run(dtype, reach(shape, deviation));
                float[] queriesAndKeys = found.get("qkv");
                for (int i = 0; i < shape.batch() * shape.heads(); i++) {
                    int sequence = i / shape.heads();
                    int head = i % shape.heads();
                    double largest = norm(shape, queriesAndKeys, sequence, head)
                            * norm(shape, queriesAndKeys, sequence, shape.heads() + head / 6) / Math.sqrt(20);
                    long expected = ALIBI.reach(head, shape.heads(), largest, shape.length());
                    assertThat((long) Float.floatToRawIntBits(found.get("reach")[i]))
                            .as("sequence %d, head %d, deviation %s", sequence, head, deviation)
                            .isBetween(expected, Math.min(expected + 3, shape.length()));
                }
            }
        }
    }

    private static double norm(AttentionShape shape, float[] qkv, int sequence, int head) {
        double largest = 0;
        for (long row = sequence * shape.length(); row < (sequence + 1) * shape.length(); row++) {
            double square = 0;
            for (int i = 0; i < shape.headSize(); i++) {
                double x = qkv[(int) (row * shape.packedWidth() + head * shape.headSize() + i)];
                square += x * x;
            }
            largest = Math.max(largest, Math.sqrt(square));
        }
        return largest;
    }

    /** A NaN or an infinity among keys that nobody sees yet: no bound holds, and nothing is left out. */
    @Test
    void withoutABoundNothingIsLeftOut() {
        AttentionShape shape = new AttentionShape(1, 250, 16, 1, 8);
        for (DType dtype : TYPES) {
            PatchAttentionGroup limited = new PatchAttentionGroup(true, 1);
            float[] bounded = KernelComparison.run(dtype, work(shape, limited, 1)).get("out");
            for (float last : new float[] {Float.NaN, Float.POSITIVE_INFINITY, 1e30f}) {
                float[] out = KernelComparison.run(dtype, work(shape, limited, last)).get("out");
                int before = (int) (shape.length() - 1) * shape.width();
                assertThat(Arrays.copyOf(out, before)).isEqualTo(Arrays.copyOf(bounded, before));
            }
        }
    }

    private static PatchAttentionKernels kernels(PatchAttentionGroup group) {
        return new PatchAttentionKernels(TestDevice.backend().kernels().loader(), Tuner.off(),
                (shape, bias, tiles) -> group);
    }

    /** @param last what the keys of the last position become */
    private static Function<Tensors, Consumer<Ops>> work(AttentionShape shape, PatchAttentionGroup group, float last) {
        PatchAttentionKernels kernels = kernels(group);
        return t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(shape.rows(), shape.width());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
            Tensor workspace = t.scratch(DType.F32,
                    kernels.causalAttentionBackwardWorkspaceBytes(shape, ALIBI, t.dtype()) / Float.BYTES);
            Tensor keys = qkv.part((shape.rows() - 1) * shape.packedWidth() + shape.width(),
                    shape.keyValueWidth() / 2);
            return ops -> {
                ops.fill(keys, last);
                if (ops instanceof CudaOps) {
                    kernels.causalAttention(shape, qkv, ALIBI, out, logSumExp, workspace);
                    kernels.causalAttentionBackward(shape, qkv, ALIBI, out, logSumExp, dOut, dQkv, workspace);
                } else if (!(ops instanceof CudaWorkspaceMeter)) {
                    ops.causalAttention(shape, qkv, ALIBI, out, logSumExp);
                    ops.causalAttentionBackward(shape, qkv, ALIBI, out, logSumExp, dOut, dQkv);
                }
            };
        };
    }

    /** How far each head looks, as bits of floats. */
    private static Function<Tensors, Consumer<Ops>> reach(AttentionShape shape, double deviation) {
        PatchAttentionKernels kernels = kernels(new PatchAttentionGroup(true, 1));
        return t -> {
            Tensor qkv = t.changed("qkv", t.normal(deviation, shape.rows(), shape.packedWidth()));
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor workspace = t.float32Result("reach",
                    kernels.causalAttentionWorkspaceBytes(shape, ALIBI, t.dtype()) / Float.BYTES);
            return ops -> {
                if (ops instanceof CudaOps) {
                    kernels.causalAttention(shape, qkv, ALIBI, out, logSumExp, workspace);
                }
            };
        };
    }
}
