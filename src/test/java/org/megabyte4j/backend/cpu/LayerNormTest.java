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
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.tensor.Tensor;

/** LayerNorm and the residual connection around it against double precision, on every provider. */
class LayerNormTest {
    private static final double TOLERANCE = 2e-6;

    private static CpuBackends backends;

    record Sizes(int rows, int dim) { }

    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1), new Sizes(5, 1), new Sizes(1, 3), new Sizes(3, 7), new Sizes(2, 16),
                new Sizes(7, 17), new Sizes(4, 31), new Sizes(3, 33), new Sizes(1, 511), new Sizes(64, 64),
                new Sizes(9, 130), new Sizes(1031, 5), new Sizes(67, 257));
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
    void forwardAndBackward(Sizes s) {
        check(s, 0, TOLERANCE);
    }

    /** A float32 mean is off by up to its last bit, and so is every normalised element. */
    @ParameterizedTest
    @MethodSource("sizes")
    void aLargeMeanCostsNoMoreThanItsLastBit(Sizes s) {
        if (s.dim > 2) {
            check(s, 1000, 1000 * 0x1p-23);
        }
    }

    private static void check(Sizes s, double offset, double tolerance) {
        Comparison.check(backends.all(), tolerance, t -> {
            Tensor x = t.normal(offset, 1, s.rows, s.dim);
            Tensor weight = t.random(s.dim);
            Tensor bias = t.random(s.dim);
            Tensor dOut = t.random(s.rows, s.dim);
            Tensor dResidual = t.random(s.rows, s.dim);
            Tensor out = t.result("out", s.rows, s.dim);
            Tensor again = t.result("again", s.rows, s.dim);
            Tensor mean = t.result("mean", s.rows);
            Tensor rstd = t.result("rstd", s.rows);
            Tensor alone = t.result("dX", s.rows, s.dim);
            Tensor residual = t.result("dX with residual", s.rows, s.dim);
            Tensor inPlace = t.changed("dX on its residual", s.rows, s.dim);
            Tensor dWeight = t.changed("dWeight", s.dim);
            Tensor dBias = t.changed("dBias", s.dim);
            return ops -> {
                ops.layerNorm(x, weight, bias, out, mean, rstd);
                ops.layerNormAgain(x, weight, bias, mean, rstd, again);
                ops.layerNormBackward(dOut, x, weight, mean, rstd, null, alone, dWeight, dBias);
                ops.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, residual, dWeight, dBias);
                ops.layerNormBackward(dOut, x, weight, mean, rstd, inPlace, inPlace, dWeight, dBias);
            };
        });
    }

    @Test
    void equalElementsGiveTheBias() {
        for (CpuBackend backend : backends.all()) {
            Map<String, float[]> results = Comparison.run(backend, t -> {
                float[] values = new float[3 * 37];
                Arrays.fill(values, 2.5f);
                Tensor x = t.values(values, 3, 37);
                Tensor weight = t.random(37);
                Tensor bias = t.changed("bias", 37);
                Tensor out = t.result("out", 3, 37);
                Tensor mean = t.result("mean", 3);
                Tensor rstd = t.result("rstd", 3);
                return ops -> ops.layerNorm(x, weight, bias, out, mean, rstd);
            });
            assertThat(Arrays.copyOfRange(results.get("out"), 74, 111)).isEqualTo(results.get("bias"));
        }
    }
}
