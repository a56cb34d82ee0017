package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.CrossEntropyWork;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Softmax cross entropy. */
class CrossEntropyKernelsTest {
    record Sizes(int rows, int vocabulary) { }

    /** Each form of a row: scalar and vectors, a warp and a block, each number of elements per thread. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1), new Sizes(1, 2), new Sizes(3, 2), new Sizes(7, 5), new Sizes(2, 16),
                new Sizes(5, 256), new Sizes(64, 257), new Sizes(33, 258), new Sizes(9, 264), new Sizes(5, 512),
                new Sizes(3, 513), new Sizes(4, 1000), new Sizes(2, 1100), new Sizes(2, 2048), new Sizes(2, 4096),
                new Sizes(2, 8000), new Sizes(2, 8200), new Sizes(301, 17));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void lossAndGradientLeaveThePaddingOut(Sizes s) {
        for (int ignored : new int[] {0, s.vocabulary - 1, -100}) {
            KernelComparison.check(CrossEntropyWork.lossAndGradient(s.rows, s.vocabulary, ignored));
        }
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void partsOfABatchAddUpToItsLoss(DType dtype) {
        Map<String, float[]> results = KernelComparison.run(dtype, t -> {
            Tensor logits = t.random(37, 19);
            Tensor targets = t.ids(19, 37);
            Tensor count = t.ints(-1);
            Tensor whole = t.changed("whole", t.values(DType.F32, new float[1], 1));
            Tensor parts = t.changed("parts", t.values(DType.F32, new float[1], 1));
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

    @ParameterizedTest
    @ValueSource(ints = {21, 64, 2048})
    void paddingAloneHasNoLossAndNoGradient(int vocabulary) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                Tensor logits = t.normal(Double.NaN, 9, vocabulary);
                Tensor targets = t.ints(5, 5, 5, 5, 5, 5, 5, 5, 5);
                Tensor count = t.changed("count", t.ints(-1));
                Tensor loss = t.changed("loss", t.values(DType.F32, new float[1], 1));
                Tensor later = t.changed("loss of later parts", t.values(DType.F32, new float[] {2.5f}, 1));
                Tensor gradient = t.result("gradient", 9, vocabulary);
                return ops -> {
                    ops.countTargets(targets, 5, count);
                    ops.softmaxCrossEntropy(logits, targets, 5, count, loss, gradient, 1);
                    ops.softmaxCrossEntropy(logits, targets, 5, count, later, null, 1);
                };
            });
            assertThat(results.get("count")).containsExactly(0f);
            assertThat(results.get("loss")).containsExactly(0f);
            assertThat(results.get("loss of later parts")).containsExactly(2.5f);
            assertThat(results.get("gradient")).containsOnly(0f);
        }
    }

    /** Whatever the rows hold: the count is of the whole batch. */
    @ParameterizedTest
    @ValueSource(ints = {21, 64, 2048})
    void aCountOfZeroIsNoLossAndNoGradient(int vocabulary) {
        Map<String, float[]> results = KernelComparison.run(DType.F32, t -> {
            Tensor logits = t.normal(Double.NaN, 5, vocabulary);
            Tensor targets = t.ids(vocabulary, 5);
            Tensor count = t.ints(0);
            Tensor loss = t.changed("loss", t.values(new float[] {2.5f}, 1));
            Tensor gradient = t.result("gradient", 5, vocabulary);
            return ops -> ops.softmaxCrossEntropy(logits, targets, -1, count, loss, gradient, 1);
        });
        assertThat(results.get("loss")).containsExactly(2.5f);
        assertThat(results.get("gradient")).containsOnly(0f);
    }

    /** Logits of any size, the largest and the smallest float32 can hold among them. */
    @ParameterizedTest
    @ValueSource(floats = {1e-30f, 88, 104, 1e4f, 1e38f})
    void extremeLogits(float size) {
        KernelComparison.check(CrossEntropyWork.extremeLogits(size));
    }

    /** It is never an address, but it shows. */
    @ParameterizedTest
    @ValueSource(ints = {-1, 7, Integer.MAX_VALUE})
    void aTargetOutsideTheVocabularyMakesItsRowNaN(int id) {
        Map<String, float[]> results = KernelComparison.run(DType.F32, t -> {
            Tensor logits = t.random(3, 7);
            Tensor targets = t.ints(6, id, 0);
            Tensor count = t.ints(3);
            Tensor loss = t.changed("loss", t.values(new float[1], 1));
            Tensor gradient = t.changed("gradient", t.zeros(3, 7));
            return ops -> ops.softmaxCrossEntropy(logits, targets, -100, count, loss, gradient, 1);
        });
        assertThat(results.get("loss")[0]).isNaN();
        for (int i = 0; i < 21; i++) {
            assertThat(Float.isNaN(results.get("gradient")[i])).isEqualTo(i / 7 == 1);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 31, 1023, 1024, 1025, 40_000})
    void targetsAreCounted(int elements) {
        Map<String, float[]> results = KernelComparison.run(DType.F32, t -> {
            Tensor ids = t.changed("ids", t.ids(3, elements));
            Tensor count = t.changed("count", t.ints(-1));
            return ops -> ops.countTargets(ids, 2, count);
        });
        long counted = 0;
        for (float id : results.get("ids")) {
            counted += id == 2 ? 0 : 1;
        }
        assertThat(results.get("count")).containsExactly((float) counted);
    }
}
