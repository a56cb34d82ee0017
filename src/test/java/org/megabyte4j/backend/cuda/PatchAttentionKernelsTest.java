package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.AttentionWork;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Attention over long sequences; the kernels are asked for directly, so that short sequences come to them, too. */
class PatchAttentionKernelsTest {
    record Case(AttentionShape shape, AttentionBias bias) {
        Case(long batch, long length, int heads, int keyValueHeads, int headSize, AttentionBias bias) {
            this(new AttentionShape(batch, length, heads, keyValueHeads, headSize), bias);
        }
    }

    /**
     * Awkward ones first: one position, one over a step and over a tile of rows and of keys, each padded head size with
     * and without padding, rows that are no multiple of 16 bytes, and groups of heads that do not divide a tile.
     */
    static Stream<Case> cases() {
        AttentionBias alibi = AttentionBias.ALIBI;
        AttentionBias none = AttentionBias.NONE;
        return Stream.of(new Case(1, 1, 1, 1, 1, none), new Case(3, 2, 3, 1, 4, alibi),
                new Case(1, 15, 2, 2, 6, none), new Case(1, 16, 1, 1, 16, alibi), new Case(3, 17, 6, 2, 17, alibi),
                new Case(1, 63, 4, 4, 24, none), new Case(1, 64, 16, 1, 16, alibi), new Case(1, 65, 3, 1, 64, none),
                new Case(1, 65, 16, 1, 64, alibi), new Case(2, 127, 2, 1, 32, none), new Case(1, 129, 1, 1, 128, alibi),
                new Case(1, 129, 3, 3, 48, alibi), new Case(1, 200, 6, 1, 8, none), new Case(1, 257, 4, 2, 64, alibi),
                new Case(1, 65, 4, 1, 96, none), new Case(1, 257, 2, 1, 128, none));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void forwardAndBackward(Case c) {
        KernelComparison.check(work(c));
    }

    private static Function<Tensors, Consumer<Ops>> work(Case c) {
        AttentionShape shape = c.shape;
        return t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(shape.rows(), shape.width());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
            return both(t, c, qkv, out, logSumExp, dOut, dQkv);
        };
    }

    private static Consumer<Ops> both(Tensors t, Case c, Tensor qkv, Tensor out, Tensor logSumExp, Tensor dOut,
            Tensor dQkv) {
        PatchAttentionKernels kernels = TestDevice.backend().kernels().patchAttention();
        Tensor workspace = t.scratch(DType.F32,
                kernels.causalAttentionBackwardWorkspaceBytes(c.shape, c.bias, t.dtype()) / Float.BYTES);
        return ops -> {
            if (ops instanceof CudaOps) {
                kernels.causalAttention(c.shape, qkv, c.bias, out, logSumExp, workspace);
                kernels.causalAttentionBackward(c.shape, qkv, c.bias, out, logSumExp, dOut, dQkv, workspace);
            } else if (!(ops instanceof CudaWorkspaceMeter)) {
                ops.causalAttention(c.shape, qkv, c.bias, out, logSumExp);
                ops.causalAttentionBackward(c.shape, qkv, c.bias, out, logSumExp, dOut, dQkv);
            }
        };
    }

    @Test
    void operationsOfLongSequencesComeHere() {
        AttentionShape shape = new AttentionShape(1, 66, 2, 1, 16);
        KernelComparison.check(AttentionWork.forwardAndBackward(shape, AttentionBias.ALIBI));
    }

    /** Heads of whole vectors, in tensors that do not start at one. */
    @Test
    void rowsNeedNotBeAligned() {
        Case c = new Case(2, 67, 2, 1, 16, AttentionBias.ALIBI);
        AttentionShape shape = c.shape;
        KernelComparison.check(t -> {
            Tensor qkv = shifted(t, t.random(1 + shape.rows() * shape.packedWidth()), shape.packedWidth());
            Tensor dOut = shifted(t, t.random(1 + shape.rows() * shape.width()), shape.width());
            Tensor out = t.changed("out", shifted(t, t.random(1 + shape.rows() * shape.width()), shape.width()));
            Tensor dQkv = t.changed("dQkv",
                    shifted(t, t.random(1 + shape.rows() * shape.packedWidth()), shape.packedWidth()));
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            return both(t, c, qkv, out, logSumExp, dOut, dQkv);
        });
    }

    private static Tensor shifted(Tensors t, Tensor tensor, int width) {
        return tensor.part(1, (tensor.elements() - 1) / width, width);
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void aPositionChangesNothingBeforeIt(DType dtype) {
        AttentionShape shape = new AttentionShape(2, 140, 3, 1, 10);
        float[] before = forward(dtype, shape, -1, 0);
        for (int changed : new int[] {1, 15, 16, 64, 129, 139}) {
            float[] after = forward(dtype, shape, changed, 3);
            for (int sequence = 0; sequence < shape.batch(); sequence++) {
                int from = (int) (sequence * shape.length()) * shape.width();
                int at = from + changed * shape.width();
                assertThat(Arrays.copyOfRange(after, from, at)).as("rows before %d", changed)
                        .isEqualTo(Arrays.copyOfRange(before, from, at));
                assertThat(Arrays.copyOfRange(after, at, at + shape.width())).as("row %d", changed)
                        .isNotEqualTo(Arrays.copyOfRange(before, at, at + shape.width()));
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void maskedScoresMayOverflow(DType dtype) {
        AttentionShape shape = new AttentionShape(1, 140, 3, 1, 10);
        int last = (int) (shape.length() - 1);
        float[] before = forward(dtype, shape, -1, 0);
        float[] after = forward(dtype, shape, last, 1e30f);
        assertThat(Arrays.copyOf(after, last * shape.width())).isEqualTo(Arrays.copyOf(before, last * shape.width()));
    }

    /** @param changed the row of each sequence whose keys and values become {@code to}; -1 for none */
    private static float[] forward(DType dtype, AttentionShape shape, int changed, float to) {
        return KernelComparison.run(dtype, t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            return ops -> {
                for (long sequence = 0; sequence < shape.batch() && changed >= 0; sequence++) {
                    long row = sequence * shape.length() + changed;
                    ops.fill(qkv.part(row * shape.packedWidth() + shape.width(), shape.keyValueWidth()), to);
                }
                ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
            };
        }).get("out");
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void scoresOfAnySizeGiveFiniteResults(DType dtype) {
        for (AttentionBias bias : AttentionBias.values()) {
            Case c = new Case(1, 80, 3, 1, 10, bias);
            for (double deviation : new double[] {1e-20, 100, 1e9}) {
                Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                    Tensor qkv = t.normal(deviation, c.shape.rows(), c.shape.packedWidth());
                    Tensor dOut = t.random(c.shape.rows(), c.shape.width());
                    Tensor out = t.result("out", c.shape.rows(), c.shape.width());
                    Tensor logSumExp = t.float32Result("logSumExp", 1, c.shape.heads(), c.shape.length());
                    Tensor dQkv = t.result("dQkv", c.shape.rows(), c.shape.packedWidth());
                    return both(t, c, qkv, out, logSumExp, dOut, dQkv);
                });
                results.forEach((name, values) -> {
                    for (float value : values) {
                        assertThat(value).as("%s for deviation %s", name, deviation).isFinite();
                    }
                });
            }
        }
    }
}
