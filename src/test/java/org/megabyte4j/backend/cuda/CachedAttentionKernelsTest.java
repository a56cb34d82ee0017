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
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Attention with a cache: decoding and prefill, whole and split, against double precision and against no cache. */
class CachedAttentionKernelsTest {
    record Case(AttentionShape shape, int capacity, int... past) { }

    static Stream<Case> cases() {
        return Stream.of(new Case(new AttentionShape(1, 1, 1, 1, 1), 1, 0),
                new Case(new AttentionShape(1, 1, 3, 1, 3), 9, 8),
                new Case(new AttentionShape(5, 1, 4, 1, 64), 8, 0, 3, 5, 6, 7),
                new Case(new AttentionShape(3, 1, 4, 2, 24), 130, 0, 129, 64),
                new Case(new AttentionShape(2, 7, 4, 1, 80), 20, 13, 0),
                new Case(new AttentionShape(2, 65, 6, 3, 5), 70, 0, 5),
                new Case(new AttentionShape(1, 150, 2, 1, 16), 300, 133),
                new Case(new AttentionShape(2, 16, 16, 1, 32), 70, 1, 54),
                new Case(new AttentionShape(1, 64, 8, 1, 128), 200, 100),
                new Case(new AttentionShape(1, 1, 40, 2, 96), 500, 257),
                new Case(new AttentionShape(2, 1, 16, 1, 64), 1000, 999, 3),
                new Case(new AttentionShape(1, 1, 2, 1, 17), 2000, 1300));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void newPositionsSeeTheCacheAndThemselves(Case c) {
        for (AttentionBias bias : AttentionBias.values()) {
            KernelComparison.check(attention(c, bias));
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void nothingButTheNewPositionsIsWrittenToTheCache(Case c) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            Function<Tensors, Consumer<Ops>> work = attention(c, AttentionBias.NONE);
            assertThat(KernelComparison.run(dtype, work).get("cache"))
                    .isEqualTo(Comparison.expected(dtype, work).get("cache"));
        }
    }

    private static Function<Tensors, Consumer<Ops>> attention(Case c, AttentionBias bias) {
        return t -> {
            Tensor qkv = t.random(c.shape.rows(), c.shape.packedWidth());
            Tensor cache = t.changed("cache", c.shape.batch(), c.capacity, c.shape.keyValueWidth());
            Tensor past = t.ints(c.past);
            Tensor out = t.result("out", c.shape.rows(), c.shape.width());
            return ops -> ops.cachedAttention(c.shape, qkv, bias, cache, past, out);
        };
    }

    /** Positions that are not there yet may hold anything. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void whatIsBehindTheLastPositionIsNotRead(DType dtype) {
        AttentionShape shape = new AttentionShape(1, 1, 4, 1, 32);
        for (int past : new int[] {0, 1, 15, 16, 17, 255, 256, 700}) {
            Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                Tensor qkv = t.random(1, shape.packedWidth());
                float[] values = new float[1000 * shape.keyValueWidth()];
                Arrays.fill(values, past * shape.keyValueWidth(), values.length, Float.NaN);
                Tensor cache = t.values(values, 1, 1000, shape.keyValueWidth());
                Tensor places = t.ints(past);
                Tensor out = t.result("out", 1, shape.width());
                return ops -> ops.cachedAttention(shape, qkv, AttentionBias.NONE, cache, places, out);
            });
            for (float value : results.get("out")) {
                assertThat(value).as("with %d positions before", past).isFinite();
            }
        }
    }

    /** One position at a time as all at once, at every length around the borders of steps and warps. */
    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void cachedEqualsUncached(DType dtype) {
        int most = 64;
        AttentionShape all = new AttentionShape(1, most, 4, 1, 32);
        AttentionShape one = new AttentionShape(1, 1, 4, 1, 32);
        int packed = all.packedWidth();
        int width = all.width();
        Map<String, float[]> results = KernelComparison.run(dtype, t -> {
            Tensor qkv = t.random(most, packed);
            Tensor cache = t.normal(Double.NaN, 1, most, all.keyValueWidth());
            Tensor[] past = new Tensor[most];
            for (int i = 0; i < most; i++) {
                past[i] = t.ints(i);
            }
            Tensor logSumExp = t.float32Result("logSumExp", 1, 4, most);
            Tensor whole = t.result("uncached", most, width);
            Tensor parts = t.result("cached", most, width);
            return ops -> {
                ops.causalAttention(all, qkv, AttentionBias.ALIBI, whole, logSumExp);
                for (int i = 0; i < most; i++) {
                    ops.cachedAttention(one, qkv.part((long) i * packed, 1, packed), AttentionBias.ALIBI, cache,
                            past[i], parts.part((long) i * width, 1, width));
                }
            };
        });
        double allowed = dtype == DType.F32 ? 1e-6 : 4e-3;
        for (int i = 0; i < most; i++) {
            int place = i;
            double error = Comparison.relativeError(
                    Arrays.copyOfRange(results.get("cached"), i * width, (i + 1) * width),
                    Arrays.copyOfRange(results.get("uncached"), i * width, (i + 1) * width));
            assertThat(error).as("position %d", place).isLessThanOrEqualTo(allowed);
        }
    }

    @Test
    void longSequencesAreSplitAndShortOnesAreNot() {
        AttentionShape decode = new AttentionShape(1, 1, 16, 1, 64);
        assertThat(CachedAttentionKernels.splits(decode, 256, 132)).isEqualTo(1);
        assertThat(CachedAttentionKernels.splits(decode, 257, 132)).isEqualTo(2);
        assertThat(CachedAttentionKernels.splits(decode, 1 << 20, 132)).isEqualTo(264);
        assertThat(CachedAttentionKernels.splits(new AttentionShape(64, 1, 16, 1, 64), 1 << 20, 132)).isEqualTo(5);
        assertThat(CachedAttentionKernels.splits(new AttentionShape(1000, 1, 16, 1, 64), 1 << 20, 132)).isEqualTo(1);
        assertThat(CachedAttentionKernels.splits(new AttentionShape(1, 64, 16, 1, 64), 1 << 20, 132)).isEqualTo(5);
    }
}
