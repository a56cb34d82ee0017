package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** LayerNorm and the residual connection around it. */
class LayerNormKernelsTest {
    record Sizes(int rows, int dim) { }

    /** Each form of a row: scalar and vectors, a warp and a block, each number of elements per thread. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1), new Sizes(5, 1), new Sizes(1, 3), new Sizes(3, 7), new Sizes(2, 16),
                new Sizes(7, 17), new Sizes(3, 33), new Sizes(1, 511), new Sizes(64, 64), new Sizes(9, 130),
                new Sizes(301, 5), new Sizes(67, 256), new Sizes(5, 264), new Sizes(6, 512), new Sizes(3, 1000),
                new Sizes(5, 1024), new Sizes(2, 1025), new Sizes(3, 1032), new Sizes(3, 2048), new Sizes(2, 2056),
                new Sizes(2, 4096), new Sizes(1, 8184), new Sizes(1, 8200));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void forwardAndBackward(Sizes s) {
        check(s);
    }

    /** A float32 mean is off by up to its last bit, and so is every normalised element. */
    @ParameterizedTest
    @MethodSource("sizes")
    void aLargeMeanCostsNoMoreThanItsLastBit(Sizes s) {
        KernelComparison.check(DType.F32, 1000 * 0x1p-23, t -> {
            Tensor x = t.normal(1000, 1, s.rows, s.dim);
            Tensor weight = t.random(s.dim);
            Tensor bias = t.random(s.dim);
            Tensor out = t.result("out", s.rows, s.dim);
            Tensor mean = t.float32Result("mean", s.rows);
            Tensor rstd = t.float32Result("rstd", s.rows);
            return ops -> ops.layerNorm(x, weight, bias, out, mean, rstd);
        });
    }

    private static void check(Sizes s) {
        KernelComparison.check(t -> {
            Tensor x = t.random(s.rows, s.dim);
            Tensor weight = t.random(s.dim);
            Tensor bias = t.random(s.dim);
            Tensor dOut = t.random(s.rows, s.dim);
            Tensor dResidual = t.random(s.rows, s.dim);
            Tensor out = t.result("out", s.rows, s.dim);
            Tensor again = t.result("again", s.rows, s.dim);
            Tensor mean = t.float32Result("mean", s.rows);
            Tensor rstd = t.float32Result("rstd", s.rows);
            Tensor alone = t.changed("dX", s.rows, s.dim);
            Tensor residual = t.result("dX with residual", s.rows, s.dim);
            Tensor inPlace = t.changed("dX on its residual", s.rows, s.dim);
            Tensor dWeight = t.float32Changed("dWeight", s.dim);
            Tensor dBias = t.float32Changed("dBias", s.dim);
            return ops -> {
                ops.layerNorm(x, weight, bias, out, mean, rstd);
                ops.layerNormAgain(x, weight, bias, mean, rstd, again);
                ops.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, residual, dWeight, dBias);
                if (s.dim < 4096) {
                    ops.layerNormBackward(dOut, x, weight, mean, rstd, null, alone, dWeight, dBias);
                    ops.layerNormBackward(dOut, x, weight, mean, rstd, inPlace, inPlace, dWeight, dBias);
                }
            };
        });
    }

    /** More rows than the grid of backward has teams. */
    @Test
    void teamsWalkOverManyRows() {
        check(new Sizes(4300, 8));
    }

    /** Rows of 16 bytes whose addresses are not multiples of 16. */
    @Test
    void rowsNeedNotBeAligned() {
        KernelComparison.check(t -> {
            Tensor x = t.random(7 * 24 + 1).part(1, 7, 24);
            Tensor weight = t.random(27).part(3, 24);
            Tensor bias = t.random(24);
            Tensor dOut = t.random(7, 24);
            Tensor out = t.changed("out", t.normal(Double.NaN, 7 * 24 + 5).part(5, 7, 24));
            Tensor again = t.changed("again", t.normal(Double.NaN, 7 * 24 + 5).part(2, 7, 24));
            Tensor mean = t.float32Result("mean", 7);
            Tensor rstd = t.float32Result("rstd", 7);
            Tensor dX = t.result("dX", 7, 24);
            Tensor dWeight = t.float32Changed("dWeight", 24);
            Tensor dBias = t.float32Changed("dBias", 24);
            return ops -> {
                ops.layerNorm(x, weight, bias, out, mean, rstd);
                ops.layerNormAgain(x, weight, bias, mean, rstd, again);
                ops.layerNormBackward(dOut, x, weight, mean, rstd, null, dX, dWeight, dBias);
            };
        });
    }

    @ParameterizedTest
    @EnumSource(value = DType.class, names = {"F32", "BF16"})
    void equalElementsGiveTheBiasAndTheOutputIsTheSameBitsAgain(DType dtype) {
        for (int dim : new int[] {37, 64, 1024, 2048}) {
            Map<String, float[]> results = KernelComparison.run(dtype, t -> {
                float[] values = new float[3 * dim];
                Arrays.fill(values, 2.5f);
                Tensor equal = t.values(values, 3, dim);
                Tensor x = t.random(3, dim);
                Tensor weight = t.random(dim);
                Tensor bias = t.changed("bias", dim);
                Tensor of = t.result("of equal", 3, dim);
                Tensor out = t.result("out", 3, dim);
                Tensor again = t.result("again", 3, dim);
                Tensor mean = t.float32Result("mean", 3);
                Tensor rstd = t.float32Result("rstd", 3);
                return ops -> {
                    ops.layerNorm(equal, weight, bias, of, mean, rstd);
                    ops.layerNorm(x, weight, bias, out, mean, rstd);
                    ops.layerNormAgain(x, weight, bias, mean, rstd, again);
                };
            });
            assertThat(Arrays.copyOfRange(results.get("of equal"), 2 * dim, 3 * dim)).isEqualTo(results.get("bias"));
            assertThat(results.get("again")).isEqualTo(results.get("out"));
        }
    }
}
