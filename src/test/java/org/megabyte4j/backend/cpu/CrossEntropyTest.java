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
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.CrossEntropyWork;
import org.megabyte4j.tensor.Tensor;

/** Softmax cross entropy against double precision, on every provider. */
class CrossEntropyTest {
    private static final double TOLERANCE = 1e-6;

    private static CpuBackends backends;

    record Sizes(int rows, int vocabulary) { }

    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1), new Sizes(1, 2), new Sizes(3, 2), new Sizes(7, 5), new Sizes(2, 16),
                new Sizes(5, 256), new Sizes(64, 257), new Sizes(33, 258), new Sizes(3, 513), new Sizes(2, 1100),
                new Sizes(1031, 17));
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
    @MethodSource("sizes")
    void lossAndGradientLeaveThePaddingOut(Sizes s) {
        for (int ignored : new int[] {0, s.vocabulary - 1, -100}) {
            Comparison.check(backends.all(), TOLERANCE,
                    CrossEntropyWork.lossAndGradient(s.rows, s.vocabulary, ignored));
        }
    }

    @Test
    void partsOfABatchAddUpToItsLoss() {
        for (CpuBackend backend : backends.all()) {
            Map<String, float[]> results = Comparison.run(backend, t -> {
                Tensor logits = t.random(37, 19);
                Tensor targets = t.ids(19, 37);
                Tensor count = t.ints(-1);
                Tensor whole = t.changed("whole", t.zeros(1));
                Tensor parts = t.changed("parts", t.zeros(1));
                Tensor wholeGradient = t.result("whole gradient", 37, 19);
                Tensor partsGradient = t.result("parts gradient", 37, 19);
                return ops -> {
                    ops.countTargets(targets, 3, count);
                    ops.softmaxCrossEntropy(logits, targets, 3, count, whole, wholeGradient, 1);
                    for (int at = 0, rows = 1; at < 37; at += rows, rows = Math.min(2 * rows, 37 - at)) {
                        ops.softmaxCrossEntropy(logits.slice(at, rows), targets.slice(at, rows), 3, count, parts,
                                partsGradient.slice(at, rows), 1);
                    }
                };
            });
            assertThat(results.get("parts gradient")).isEqualTo(results.get("whole gradient"));
            assertThat(Comparison.relativeError(results.get("parts"), results.get("whole"))).isLessThan(1e-6);
        }
    }

    @Test
    void paddingAloneHasNoLossAndNoGradient() {
        for (CpuBackend backend : backends.all()) {
            Map<String, float[]> results = Comparison.run(backend, t -> {
                Tensor logits = t.random(9, 21);
                Tensor targets = t.ints(5, 5, 5, 5, 5, 5, 5, 5, 5);
                Tensor count = t.ints(-1);
                Tensor loss = t.changed("loss", t.zeros(1));
                Tensor later = t.changed("loss of later parts", t.values(new float[] {2.5f}, 1));
                Tensor gradient = t.result("gradient", 9, 21);
                return ops -> {
                    ops.countTargets(targets, 5, count);
                    ops.softmaxCrossEntropy(logits, targets, 5, count, loss, gradient, 1);
                    ops.softmaxCrossEntropy(logits, targets, 5, count, later, null, 1);
                };
            });
            assertThat(results.get("loss")).containsExactly(0f);
            assertThat(results.get("loss of later parts")).containsExactly(2.5f);
            assertThat(results.get("gradient")).containsOnly(0f);
        }
    }

    /** Logits of any size, the largest and the smallest float32 can hold among them. */
    @ParameterizedTest
    @ValueSource(floats = {1e-30f, 88, 104, 1e4f, 1e38f})
    void extremeLogits(float size) {
        Comparison.check(backends.all(), TOLERANCE, CrossEntropyWork.extremeLogits(size));
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 7, Integer.MAX_VALUE})
    void aTargetOutsideTheVocabularyIsNamed(int id) {
        for (CpuBackend backend : backends.all()) {
            assertThatThrownBy(() -> Comparison.run(backend, t -> {
                Tensor logits = t.random(3, 7);
                Tensor targets = t.ints(6, id, 0);
                Tensor count = t.ints(3);
                Tensor loss = t.zeros(1);
                return ops -> ops.softmaxCrossEntropy(logits, targets, -100, count, loss, null, 1);
            })).isInstanceOf(IndexOutOfBoundsException.class)
                    .hasMessage("id " + id + " at position 1 is not within a vocabulary of 7");
        }
    }
}
