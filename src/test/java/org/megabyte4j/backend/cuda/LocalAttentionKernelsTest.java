package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.AttentionWork;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Attention inside patches: tiles in registers, tiles in shared memory, float32 arithmetic. */
class LocalAttentionKernelsTest {
    /** Every kernel; patches that share a tile and leave some of it empty; one, some, all heads with their own keys. */
    static Stream<AttentionShape> shapes() {
        return Stream.of(new AttentionShape(5, 1, 1, 1, 1), new AttentionShape(9, 1, 3, 1, 8),
                new AttentionShape(3, 2, 4, 4, 17), new AttentionShape(7, 2, 8, 1, 64),
                new AttentionShape(257, 3, 4, 2, 32), new AttentionShape(3, 4, 4, 1, 64),
                new AttentionShape(2, 5, 2, 1, 6), new AttentionShape(3, 5, 3, 3, 128),
                new AttentionShape(1, 7, 8, 1, 96), new AttentionShape(3, 7, 1, 1, 24),
                new AttentionShape(1, 8, 1, 1, 64), new AttentionShape(37, 8, 4, 1, 64),
                new AttentionShape(3, 8, 4, 4, 16), new AttentionShape(2, 8, 5, 1, 127),
                new AttentionShape(3, 13, 4, 1, 32), new AttentionShape(1, 13, 8, 2, 17),
                new AttentionShape(5, 16, 4, 1, 64), new AttentionShape(3, 16, 2, 1, 128),
                new AttentionShape(2, 16, 3, 3, 24), new AttentionShape(3, 27, 2, 1, 32),
                new AttentionShape(1, 28, 4, 1, 64), new AttentionShape(1, 31, 3, 1, 96),
                new AttentionShape(2, 32, 4, 1, 64), new AttentionShape(1, 32, 4, 2, 4),
                new AttentionShape(1, 33, 1, 1, 16), new AttentionShape(2, 33, 3, 3, 64),
                new AttentionShape(1, 48, 2, 1, 128), new AttentionShape(1, 63, 4, 2, 32),
                new AttentionShape(1, 64, 4, 1, 64), new AttentionShape(1, 64, 1, 1, 1));
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void forwardAndBackward(AttentionShape shape) {
        for (AttentionBias bias : AttentionBias.values()) {
            KernelComparison.check(AttentionWork.forwardAndBackward(shape, bias));
        }
    }

    /** Heads of whole vectors at addresses that are none. */
    @Test
    void tensorsNeedNotBeAligned() {
        AttentionShape shape = new AttentionShape(3, 9, 4, 2, 16);
        long packed = shape.rows() * shape.packedWidth();
        long width = shape.rows() * shape.width();
        KernelComparison.check(t -> {
            Tensor qkv = t.random(packed + 1).part(1, shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(width + 3).part(3, shape.rows(), shape.width());
            Tensor out = t.changed("out", t.normal(Double.NaN, width + 1).part(1, shape.rows(), shape.width()));
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.changed("dQkv",
                    t.normal(Double.NaN, packed + 5).part(5, shape.rows(), shape.packedWidth()));
            return ops -> {
                ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
                ops.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, logSumExp, dOut, dQkv);
            };
        });
    }

    /** In registers, in shared memory, and with patches that share a tile. */
    static Stream<AttentionShape> properties() {
        return Stream.of(new AttentionShape(3, 4, 4, 1, 32), new AttentionShape(3, 11, 4, 2, 8),
                new AttentionShape(2, 40, 3, 1, 16));
    }

    @ParameterizedTest
    @MethodSource("properties")
    void aPositionChangesNothingBeforeItAndNoOtherPatch(AttentionShape shape) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            float[] before = forward(dtype, shape, -1, 0);
            for (long changed = 0; changed < shape.length(); changed += 1 + changed / 2) {
                float[] after = forward(dtype, shape, changed, 3);
                for (long row = 0; row < shape.rows(); row++) {
                    int at = (int) (row * shape.width());
                    boolean same = Arrays.equals(before, at, at + shape.width(), after, at, at + shape.width());
                    assertThat(same).as("%s: row %d stays the same when row %d changes", dtype, row, changed)
                            .isEqualTo(row < changed || row >= shape.length());
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("properties")
    void maskedScoresMayOverflow(AttentionShape shape) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            float[] before = forward(dtype, shape, -1, 0);
            float[] after = forward(dtype, shape, shape.length() - 1, 1e30f);
            int last = (int) ((shape.length() - 1) * shape.width());
            assertThat(Arrays.copyOf(after, last)).isEqualTo(Arrays.copyOf(before, last));
        }
    }

    /** @param changed the row of the first patch to whose keys and values {@code by} is written; -1 for none */
    private static float[] forward(DType dtype, AttentionShape shape, long changed, float by) {
        return KernelComparison.run(dtype, t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor keysAndValues = t.zeros(shape.keyValueWidth());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            return ops -> {
                if (changed >= 0) {
                    ops.fill(keysAndValues, by);
                    ops.copy(keysAndValues, qkv.part(changed * shape.packedWidth() + shape.width(),
                            shape.keyValueWidth()));
                }
                ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
            };
        }).get("out");
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void scoresOfAnySizeGiveFiniteResults(DType dtype) {
        properties().forEach(shape -> {
            for (double deviation : new double[] {1e-20, 100, 1e9}) {
                Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                    Tensor qkv = t.normal(deviation, shape.rows(), shape.packedWidth());
                    Tensor dOut = t.random(shape.rows(), shape.width());
                    Tensor out = t.result("out", shape.rows(), shape.width());
                    Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
                    Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
                    return ops -> {
                        ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
                        ops.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, logSumExp, dOut, dQkv);
                    };
                });
                results.forEach((name, values) -> {
                    for (float value : values) {
                        assertThat(value).as("%s for deviation %s", name, deviation).isFinite();
                    }
                });
            }
        });
    }
}
