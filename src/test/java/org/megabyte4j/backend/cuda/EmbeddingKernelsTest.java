package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.EmbeddingWork;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Embeddings of shifted ids and the gradients of table and positions. */
class EmbeddingKernelsTest {
    record Case(int batch, int length, int vocabulary, int dim, ByteShift shift) { }

    /** No shift, one patch back, one byte back within the sequence and within patches of one, four and eight bytes. */
    static Stream<Case> cases() {
        return Stream.of(new Case(1, 1, 1, 1, new ByteShift(0, 1)), new Case(1, 1, 2, 3, new ByteShift(1, 1)),
                new Case(2, 5, 3, 7, new ByteShift(1, 1)), new Case(3, 8, 5, 16, new ByteShift(4, 8)),
                new Case(2, 24, 257, 17, new ByteShift(8, 24)), new Case(2, 24, 258, 32, new ByteShift(1, 8)),
                new Case(5, 12, 257, 31, new ByteShift(1, 4)), new Case(3, 7, 9, 65, new ByteShift(1, 7)),
                new Case(1, 8, 4, 5, new ByteShift(8, 8)), new Case(3, 344, 257, 136, new ByteShift(8, 344)),
                new Case(1, 600, 2, 264, new ByteShift(1, 600)), new Case(4, 256, 1, 8, new ByteShift(0, 256)),
                new Case(1, 512, 5000, 4, new ByteShift(0, 512)));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void forwardWithAndWithoutPositionsAndAddend(Case c) {
        KernelComparison.check(EmbeddingWork.forward(c.batch, c.length, c.vocabulary, c.dim, c.shift));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsAreAddedToWhatIsThere(Case c) {
        KernelComparison.check(EmbeddingWork.backward(c.batch, c.length, c.vocabulary, c.dim, c.shift));
    }

    /** Runs of one id that begin and end on the borders of tiles and chunks, one before and one after. */
    @ParameterizedTest
    @ValueSource(ints = {63, 64, 65, 127, 128, 129, 511, 512, 513, 1500})
    void frequentIdsAreSpreadOverTiles(int frequent) {
        int length = 2048;
        int[] ids = new int[length];
        for (int i = 0; i < length; i++) {
            ids[i] = i < frequent ? 3 : i < 2 * frequent ? 1 : i % 7;
        }
        KernelComparison.check(t -> {
            Tensor input = t.ints(ids).view(1, length);
            Tensor dOut = t.random(length, 8);
            Tensor dTable = t.float32Changed("dTable", 9, 8);
            return ops -> ops.embedBackward(input, new ByteShift(0, length), 0, dOut, dTable, null);
        });
    }

    /** Ids outside the table lead nowhere: their rows are NaN, those of others as ever; they have no gradient. */
    @ParameterizedTest
    @ValueSource(ints = {-1, 5, Integer.MAX_VALUE, Integer.MIN_VALUE})
    void anIdOutsideTheTableIsNoAddress(int id) {
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                Tensor ids = t.ints(0, 4, id, 1).view(1, 4);
                Tensor table = t.random(5, 3);
                Tensor out = t.result("out", 4, 3);
                Tensor ones = t.zeros(4, 3);
                Tensor dTable = t.changed("dTable", t.values(DType.F32, new float[15], 5, 3));
                ByteShift shift = new ByteShift(1, 4);
                return ops -> {
                    ops.fill(ones, 1);
                    ops.embed(ids, shift, 0, table, null, null, out);
                    ops.embedBackward(ids, shift, 0, ones, dTable, null);
                };
            });
            float[] out = results.get("out");
            for (int i = 0; i < out.length; i++) {
                assertThat(Float.isNaN(out[i])).as("element %d", i).isEqualTo(i / 3 == 3);
            }
            float[] expected = new float[15];
            Arrays.fill(expected, 0, 3, 2);     // position 0 sees padding, position 1 id 0
            Arrays.fill(expected, 12, 15, 1);   // position 2 sees id 4
            assertThat(results.get("dTable")).isEqualTo(expected);
        }
    }

    @Test
    void rowsNeedNotBeAligned() {
        KernelComparison.check(t -> {
            Tensor ids = t.ids(7, 2, 40);
            Tensor table = t.random(7 * 16 + 1).part(1, 7, 16);
            Tensor positions = t.random(41 * 16).part(8, 40, 16);
            Tensor out = t.changed("out", t.normal(Double.NaN, 80 * 16 + 3).part(3, 80, 16));
            Tensor dOut = t.random(80 * 16 + 3).part(3, 80, 16);
            Tensor dTable = t.float32Changed("dTable", 7, 16);
            Tensor dPositions = t.float32Changed("dPositions", 40, 16);
            return ops -> {
                ops.embed(ids, new ByteShift(1, 8), 2, table, positions, null, out);
                ops.embedBackward(ids, new ByteShift(1, 8), 2, dOut, dTable, dPositions);
            };
        });
    }
}
