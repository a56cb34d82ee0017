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
import org.megabyte4j.backend.EmbeddingWork;
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
        Comparison.check(backends.all(), TOLERANCE,
                EmbeddingWork.forward(c.batch, c.length, c.vocabulary, c.dim, c.shift));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsAreAddedToWhatIsThere(Case c) {
        Comparison.check(backends.all(), TOLERANCE,
                EmbeddingWork.backward(c.batch, c.length, c.vocabulary, c.dim, c.shift));
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
