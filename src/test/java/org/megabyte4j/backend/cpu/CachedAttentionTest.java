package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.tensor.Tensor;

/** Attention with a cache, against double precision and against attention without one. */
class CachedAttentionTest {
    private static final double TOLERANCE = 1e-6;

    private static CpuBackends backends;

    record Case(AttentionShape shape, int capacity, int... past) { }

    static Stream<Case> cases() {
        return Stream.of(new Case(new AttentionShape(1, 1, 1, 1, 1), 1, 0),
                new Case(new AttentionShape(1, 1, 3, 1, 3), 9, 8),
                new Case(new AttentionShape(3, 1, 4, 2, 24), 130, 0, 129, 64),
                new Case(new AttentionShape(2, 7, 4, 1, 80), 20, 13, 0),
                new Case(new AttentionShape(2, 65, 6, 3, 5), 70, 0, 5),
                new Case(new AttentionShape(1, 150, 2, 1, 16), 300, 133),
                // Of sixteen heads the steepest look back some 150 positions.
                new Case(new AttentionShape(2, 3, 16, 2, 4), 900, 890, 420));
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
    @MethodSource("cases")
    void newPositionsSeeTheCacheAndThemselves(Case c) {
        for (AttentionBias bias : AttentionBias.values()) {
            Comparison.check(backends.all(), TOLERANCE, t -> {
                Tensor qkv = t.random(c.shape.rows(), c.shape.packedWidth());
                Tensor cache = t.changed("cache", c.shape.batch(), c.capacity, c.shape.keyValueWidth());
                Tensor past = t.ints(c.past);
                Tensor out = t.result("out", c.shape.rows(), c.shape.width());
                return ops -> ops.cachedAttention(c.shape, qkv, bias, cache, past, out);
            });
        }
    }

    @Test
    void stepByStepIsTheSameAsAllAtOnce() {
        AttentionShape whole = new AttentionShape(1, 40, 4, 2, 12);
        for (AttentionBias bias : AttentionBias.values()) {
            Map<String, float[]> results = Comparison.run(backends.all().getFirst(), t -> {
                Tensor qkv = t.random(whole.rows(), whole.packedWidth());
                Tensor cache = t.random(1, whole.length(), whole.keyValueWidth());
                Tensor past = t.ints(0);
                Tensor uncached = t.result("uncached", whole.rows(), whole.width());
                Tensor cached = t.result("cached", whole.rows(), whole.width());
                Tensor logSumExp = t.random(1, whole.heads(), whole.length());
                return ops -> {
                    ops.causalAttention(whole, qkv, bias, uncached, logSumExp);
                    int at = 0;
                    for (int count : new int[] {13, 1, 1, 1, 8, 1, 15}) {
                        ops.fill(past, at);
                        ops.cachedAttention(new AttentionShape(1, count, 4, 2, 12), qkv.slice(at, count), bias, cache,
                                past, cached.slice(at, count));
                        at += count;
                    }
                };
            });
            assertThat(Comparison.relativeError(results.get("cached"), results.get("uncached"))).isLessThan(1e-6);
        }
    }

    @Test
    void aFullCacheIsRefused() {
        AttentionShape shape = new AttentionShape(1, 2, 1, 1, 1);
        assertThatThrownBy(() -> Comparison.run(backends.all().getFirst(), t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor cache = t.random(1, 4, shape.keyValueWidth());
            Tensor past = t.ints(3);
            Tensor out = t.result("out", shape.rows(), shape.width());
            return ops -> ops.cachedAttention(shape, qkv, AttentionBias.NONE, cache, past, out);
        })).isInstanceOf(IndexOutOfBoundsException.class).hasMessage("position 4 is beyond a cache of 4");
    }
}
