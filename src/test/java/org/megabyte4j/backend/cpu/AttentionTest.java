package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.AttentionWork;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Causal attention against double precision, on every provider, by both algorithms. */
class AttentionTest {
    private static final double TOLERANCE = 2e-6;

    private static CpuBackends backends;

    /** Batch, length, heads, key/value heads, head size; awkward ones first. */
    static Stream<AttentionShape> shapes() {
        return Stream.of(new AttentionShape(1, 1, 1, 1, 1), new AttentionShape(1, 2, 1, 1, 3),
                new AttentionShape(3, 1, 4, 1, 5), new AttentionShape(1, 7, 3, 1, 3), new AttentionShape(5, 7, 3, 3, 7),
                new AttentionShape(17, 8, 4, 1, 64), new AttentionShape(2, 31, 6, 2, 24),
                new AttentionShape(2, 32, 1, 1, 80), new AttentionShape(1, 33, 4, 2, 9),
                new AttentionShape(1, 63, 2, 1, 24), new AttentionShape(2, 64, 3, 1, 16),
                new AttentionShape(3, 65, 5, 1, 13), new AttentionShape(1, 127, 2, 2, 3),
                new AttentionShape(1, 128, 2, 1, 64), new AttentionShape(1, 129, 2, 1, 80),
                new AttentionShape(1, 257, 4, 2, 8), new AttentionShape(2, 300, 3, 1, 3),
                // The steepest of eight heads look back two blocks of three.
                new AttentionShape(1, 386, 8, 1, 4));
    }

    @BeforeAll
    static void open() {
        backends = new CpuBackends();
    }

    @AfterAll
    static void close() {
        backends.close();
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void forwardAndBackward(AttentionShape shape) {
        for (AttentionBias bias : AttentionBias.values()) {
            Comparison.check(backends.all(), TOLERANCE, AttentionWork.forwardAndBackward(shape, bias));
        }
    }

    /**
     * The shapes over whose length the properties below are checked: both algorithms, several blocks, heads that do not
     * look back to the beginning.
     */
    static Stream<AttentionShape> properties() {
        return Stream.of(new AttentionShape(3, 11, 4, 2, 6), new AttentionShape(2, 270, 3, 1, 10),
                new AttentionShape(1, 420, 16, 2, 3));
    }

    @ParameterizedTest
    @MethodSource("properties")
    void aPositionChangesNothingBeforeIt(AttentionShape shape) {
        float[] before = forward(shape, -1, 0).get("out");
        for (long changed = 1; changed < shape.length(); changed += 1 + changed / 2) {
            float[] after = forward(shape, changed, 3).get("out");
            for (long sequence = 0; sequence < shape.batch(); sequence++) {
                for (long row = 0; row < shape.length(); row++) {
                    int at = (int) ((sequence * shape.length() + row) * shape.width());
                    boolean same = true;
                    for (int i = at; i < at + shape.width(); i++) {
                        same &= before[i] == after[i];
                    }
                    assertThat(same).as("row %d stays the same when row %d changes", row, changed)
                            .isEqualTo(row < changed);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("properties")
    void maskedScoresMayOverflow(AttentionShape shape) {
        long last = shape.length() - 1;
        float[] before = forward(shape, -1, 0).get("out");
        float[] after = forward(shape, last, 1e30f).get("out");
        for (long sequence = 0; sequence < shape.batch(); sequence++) {
            int from = (int) (sequence * shape.length() * shape.width());
            int to = (int) (from + last * shape.width());
            assertThat(Arrays.copyOfRange(after, from, to))
                    .isEqualTo(Arrays.copyOfRange(before, from, to));
        }
    }

    /**
     * A key of enormous norm bounds no score, so all blocks are gone through; without it many are left out. Only the
     * last position sees it, whose gradient is 0: everything else has the same bits.
     */
    @Test
    void leavingOutWhatVanishesChangesNoBit() {
        AttentionShape shape = new AttentionShape(1, 600, 16, 2, 5);
        long last = shape.rows() - 1;
        Map<String, float[]> limited = withKeysOfLastPosition(shape, 1);
        Map<String, float[]> whole = withKeysOfLastPosition(shape, 1e30f);
        limited.forEach((name, values) -> {
            int end = (int) (values.length / shape.rows() * last);
            assertThat(Arrays.copyOf(whole.get(name), end)).as(name).isEqualTo(Arrays.copyOf(values, end));
        });
    }

    private static Map<String, float[]> withKeysOfLastPosition(AttentionShape shape, float key) {
        return Comparison.run(backends.all().getFirst(), t -> {
            long last = shape.rows() - 1;
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(shape.rows(), shape.width());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.zeros(shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
            return ops -> {
                ops.fill(qkv.part(last * shape.packedWidth() + shape.width(), shape.keyValueWidth() / 2), key);
                ops.fill(dOut.slice(last, 1), 0);
                ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
                // Whatever it is, its gradients are to be 0.
                ops.fill(out.slice(last, 1), 0);
                ops.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, logSumExp, dOut, dQkv);
            };
        });
    }

    /** @param changed the row of each sequence to whose keys and values {@code by} is added; -1 for none */
    private static Map<String, float[]> forward(AttentionShape shape, long changed, float by) {
        return Comparison.run(backends.all().getFirst(), t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor keysAndValues = t.random(shape.keyValueWidth());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.result("logSumExp", shape.batch(), shape.heads(), shape.length());
            return ops -> {
                for (long sequence = 0; sequence < shape.batch() && changed >= 0; sequence++) {
                    long row = sequence * shape.length() + changed;
                    ops.fill(keysAndValues, by);
                    ops.copy(keysAndValues, qkv.part(row * shape.packedWidth() + shape.width(), shape.keyValueWidth()));
                }
                ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
            };
        });
    }

    @ParameterizedTest
    @MethodSource("properties")
    void scoresOfAnySizeGiveFiniteResults(AttentionShape shape) {
        for (double deviation : new double[] {1e-20, 100, 1e9}) {
            Map<String, float[]> results = Comparison.run(backends.all().getFirst(), t -> {
                Tensor qkv = t.normal(deviation, shape.rows(), shape.packedWidth());
                Tensor dOut = t.random(shape.rows(), shape.width());
                Tensor out = t.result("out", shape.rows(), shape.width());
                Tensor logSumExp = t.result("logSumExp", shape.batch(), shape.heads(), shape.length());
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
    }

    @Test
    void workspaceOfALongSequenceDoesNotGrowWithItsSquare() {
        AttentionShape shape = new AttentionShape(1, 131_072, 4, 1, 16);
        MemoryPlan plan = new MemoryPlan();
        Tensor qkv = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "qkv", DType.F32, shape.rows(), shape.packedWidth());
        Tensor out = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "out", DType.F32, shape.rows(), shape.width());
        Tensor logSumExp = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "logSumExp", DType.F32, 1, 4, shape.length());
        Ops ops = backends.all().getFirst().plan(plan, dry -> {
            dry.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
            dry.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, logSumExp, out, qkv);
        });
        assertThat(ops).isNotNull();
        assertThat(plan.bytes(MemoryPlan.Category.WORKSPACE)).isLessThan(2 * qkv.bytes());
    }
}
