package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.tensor.Tensor;

/** Embeddings against double precision, on every provider. */
class EmbeddingTest {
    private static final double TOLERANCE = 1e-6;

    private static CpuBackends backends;

    record Case(int batch, int length, int vocabulary, int dim, ByteShift shift) { }

    /** No shift, one patch back, one byte back within the sequence and within patches of one, four and eight bytes. */
    static Stream<Case> cases() {
        return Stream.of(new Case(1, 1, 1, 1, new ByteShift(0, 1)), new Case(1, 1, 2, 3, new ByteShift(1, 1)),
                new Case(2, 5, 3, 7, new ByteShift(1, 1)), new Case(3, 8, 5, 16, new ByteShift(4, 8)),
                new Case(2, 24, 257, 17, new ByteShift(8, 24)), new Case(2, 24, 258, 33, new ByteShift(1, 8)),
                new Case(5, 12, 257, 31, new ByteShift(1, 4)), new Case(3, 7, 9, 65, new ByteShift(1, 7)),
                new Case(1, 8, 4, 5, new ByteShift(8, 8)), new Case(3, 344, 257, 130, new ByteShift(8, 344)));
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
    void forwardWithAndWithoutPositionsAndAddend(Case c) {
        int rows = c.batch * c.length;
        int padId = c.vocabulary - 1;
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor ids = t.ids(c.vocabulary, c.batch, c.length);
            Tensor table = t.random(c.vocabulary, c.dim);
            Tensor positions = t.random(c.length + 2, c.dim);
            Tensor addend = t.random(rows, c.dim);
            Tensor plain = t.result("plain", rows, c.dim);
            Tensor positioned = t.result("with positions", rows, c.dim);
            Tensor added = t.result("with addend", rows, c.dim);
            Tensor both = t.result("with both", rows, c.dim);
            Tensor inPlace = t.changed("in place", rows, c.dim);
            Tensor bothInPlace = t.changed("in place with positions", rows, c.dim);
            return ops -> {
                ops.embed(ids, c.shift, padId, table, null, null, plain);
                ops.embed(ids, c.shift, padId, table, positions, null, positioned);
                ops.embed(ids, c.shift, padId, table, null, addend, added);
                ops.embed(ids, c.shift, padId, table, positions, addend, both);
                ops.embed(ids, c.shift, padId, table, null, inPlace, inPlace);
                ops.embed(ids, c.shift, padId, table, positions, bothInPlace, bothInPlace);
            };
        });
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsAreAddedToWhatIsThere(Case c) {
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor ids = t.ids(c.vocabulary, c.batch, c.length);
            Tensor dOut = t.random(c.batch * c.length, c.dim);
            Tensor dTable = t.changed("dTable", c.vocabulary, c.dim);
            Tensor alone = t.changed("dTable without positions", c.vocabulary, c.dim);
            Tensor dPositions = t.changed("dPositions", c.length + 2, c.dim);
            return ops -> {
                ops.embedBackward(ids, c.shift, 0, dOut, dTable, dPositions);
                ops.embedBackward(ids, c.shift, 0, dOut, alone, null);
            };
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 5, Integer.MAX_VALUE, Integer.MIN_VALUE})
    void anIdOutsideTheTableIsNamed(int id) {
        for (CpuBackend backend : backends.all()) {
            for (boolean backward : new boolean[] {false, true}) {
                assertThatThrownBy(() -> Comparison.run(backend, t -> {
                    Tensor ids = t.ints(0, 4, id, 1).view(1, 4);
                    Tensor table = t.random(5, 3);
                    Tensor rows = t.random(4, 3);
                    ByteShift shift = new ByteShift(1, 4);
                    return ops -> {
                        if (backward) {
                            ops.embedBackward(ids, shift, 0, rows, table, null);
                        } else {
                            ops.embed(ids, shift, 0, table, null, rows, rows);
                        }
                    };
                })).isInstanceOf(IndexOutOfBoundsException.class)
                        .hasMessage("id " + id + " at position 2 is not within a vocabulary of 5");
            }
        }
    }
}
