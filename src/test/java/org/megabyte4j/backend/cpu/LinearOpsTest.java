package org.megabyte4j.backend.cpu;

import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.tensor.Tensor;

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
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor x = t.random(s.rows, s.in);
            Tensor weight = t.random(s.out, s.in);
            Tensor bias = t.random(s.out);
            Tensor addend = t.random(s.rows, s.out);
            Tensor plain = t.result("plain", s.rows, s.out);
            Tensor biased = t.result("with bias", s.rows, s.out);
            Tensor added = t.result("with addend", s.rows, s.out);
            Tensor both = t.result("with both", s.rows, s.out);
            Tensor inPlace = t.changed("in place", s.rows, s.out);
            Tensor inPlaceBiased = t.changed("in place with bias", s.rows, s.out);
            return ops -> {
                ops.linear(x, weight, null, null, plain);
                ops.linear(x, weight, bias, null, biased);
                ops.linear(x, weight, null, addend, added);
                ops.linear(x, weight, bias, addend, both);
                ops.linear(x, weight, null, inPlace, inPlace);
                ops.linear(x, weight, bias, inPlaceBiased, inPlaceBiased);
            };
        });
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void gelu(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor x = t.random(s.rows, s.in);
            Tensor weight = t.normal(1 / Math.sqrt(s.in), s.out, s.in);
            Tensor bias = t.random(s.out);
            Tensor preActivation = t.result("pre-activation", s.rows, s.out);
            Tensor activated = t.result("activated", s.rows, s.out);
            return ops -> ops.linearGelu(x, weight, bias, preActivation, activated);
        });
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void inputGradientReplacesOrAdds(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor dOut = t.random(s.rows, s.out);
            Tensor weight = t.random(s.out, s.in);
            Tensor addend = t.random(s.rows, s.in);
            Tensor plain = t.result("plain", s.rows, s.in);
            Tensor added = t.result("with addend", s.rows, s.in);
            Tensor inPlace = t.changed("in place", s.rows, s.in);
            return ops -> {
                ops.linearInputGradient(dOut, weight, null, plain);
                ops.linearInputGradient(dOut, weight, addend, added);
                ops.linearInputGradient(dOut, weight, inPlace, inPlace);
            };
        });
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void weightAndBiasGradientsAreAddedToWhatIsThere(Sizes s) {
        Comparison.check(backends.all(), TOLERANCE, t -> {
            Tensor x = t.random(s.rows, s.in);
            Tensor dOut = t.random(s.rows, s.out);
            Tensor dWeight = t.changed("dWeight", s.out, s.in);
            Tensor alone = t.changed("dWeight without bias", s.out, s.in);
            Tensor dBias = t.changed("dBias", s.out);
            return ops -> {
                ops.linearWeightGradient(x, dOut, dWeight, dBias);
                ops.linearWeightGradient(x, dOut, alone, null);
            };
        });
    }
}
