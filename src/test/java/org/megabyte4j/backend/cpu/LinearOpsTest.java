package org.megabyte4j.backend.cpu;

import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.LinearWork;

/** Linear layers against double precision, on every provider. */
class LinearOpsTest {
    private static final double TOLERANCE = 1e-6;

    private static CpuBackends backends;

    record Sizes(int rows, int in, int out) { }

    /** Sides of 1, primes, one below and above tiles and the few-rows path, and both ways of splitting the work. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 1), new Sizes(1, 1, 7), new Sizes(5, 1, 1), new Sizes(1, 7, 1),
                new Sizes(2, 3, 5), new Sizes(7, 13, 11), new Sizes(8, 64, 64), new Sizes(9, 65, 63),
                new Sizes(1, 511, 257), new Sizes(8, 129, 300), new Sizes(17, 24, 80), new Sizes(64, 63, 65),
                new Sizes(129, 31, 200), new Sizes(300, 257, 33), new Sizes(1031, 5, 3));
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
    void forwardWithAndWithoutBiasAndAddend(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, LinearWork.forward(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void gelu(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, LinearWork.gelu(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void inputGradientReplacesOrAdds(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, LinearWork.inputGradient(s.rows, s.in, s.out));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void weightAndBiasGradientsAreAddedToWhatIsThere(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, LinearWork.weightGradient(s.rows, s.in, s.out));
    }
}
