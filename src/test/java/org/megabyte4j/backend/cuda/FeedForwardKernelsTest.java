package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Feed-forward layers at once. */
class FeedForwardKernelsTest {
    private static FeedForwardParameters weights(Tensors t, int dim, int hidden) {
        return new FeedForwardParameters(t.normal(1.0, 0.3, dim), t.normal(0.0, 0.3, dim),
                t.normal(0.0, 1 / Math.sqrt(dim), hidden, dim), t.normal(0.0, 0.3, hidden),
                t.normal(0.0, 1 / Math.sqrt(hidden), dim, hidden), t.normal(0.0, 0.3, dim));
    }

    /** A row alone, rows one over and one under a block's, several blocks; each width; one slice of hidden columns. */
    @ParameterizedTest
    @CsvSource({"1, 64, 64", "7, 64, 192", "127, 128, 128", "129, 128, 512", "300, 64, 256", "1, 256, 64",
            "130, 256, 1024"})
    void forwardAndBackward(int rows, int dim, int hidden) {
        KernelComparison.check(DType.BF16, KernelComparison.FLOAT32, t -> {
            FeedForwardParameters weights = weights(t, dim, hidden);
            FeedForwardParameters gradients = new FeedForwardParameters(t.float32Changed("dNorm", dim),
                    t.float32Changed("dNormBias", dim), t.float32Changed("dExpand", hidden, dim),
                    t.float32Changed("dExpandBias", hidden), t.float32Changed("dContract", dim, hidden),
                    t.float32Changed("dContractBias", dim));
            FeedForwardFactors factors = new FeedForwardFactors(t.result("normed", rows, dim),
                    t.result("activated", rows, hidden), t.result("dHidden", rows, hidden),
                    t.result("dOut", rows, dim));
            Tensor x = t.normal(1.0, 2.0, rows, dim);
            Tensor out = t.result("out", rows, dim);
            Tensor mean = t.float32Result("mean", rows);
            Tensor rstd = t.float32Result("rstd", rows);
            Tensor d = t.changed("d", rows, dim);
            return ops -> {
                ops.feedForward(weights, x, out, mean, rstd);
                ops.feedForwardBackward(weights, x, mean, rstd, d, factors, gradients);
                ops.linearWeightGradient(factors.normed(), factors.dHidden(), gradients.expand(), null);
                ops.linearWeightGradient(factors.activated(), factors.dOut(), gradients.contract(), null);
            };
        });
    }

    @Test
    void whatThereIsNoKernelForIsSaid() {
        assertThat(FeedForwardKernels.obstacles(DType.BF16, 256, 1024)).isEmpty();
        assertThat(FeedForwardKernels.obstacles(DType.F32, 96, 100)).containsExactly(
                "feed-forward layers at once are computed in bf16, not in float32",
                "the layer's width is 96; it can be [64, 128, 256]",
                "its hidden width is 100; it can be a multiple of 64");
        assertThat(new CudaFusion(232448, null).feedForward(DType.BF16, 256, 1024).isThere()).isTrue();
        assertThat(new CudaFusion(166912, null).feedForward(DType.BF16, 256, 1024).obstacles()).containsExactly(
                "a block needs 229376 bytes of shared memory, and this GPU gives it 166912");
    }

    @Test
    void rowsThatAreNotAlignedAreRefused() {
        assertThatThrownBy(() -> KernelComparison.run(DType.BF16, t -> {
            Tensor x = t.random(3 * 64 + 1).part(1, 3, 64);
            FeedForwardParameters weights = weights(t, 64, 64);
            Tensor out = t.result("out", 3, 64);
            Tensor mean = t.float32Result("mean", 3);
            Tensor rstd = t.float32Result("rstd", 3);
            return (Ops ops) -> ops.feedForward(weights, x, out, mean, rstd);
        })).isInstanceOf(ShapeException.class)
                .hasMessage("the rows of BF16[3, 64] do not begin at multiples of 16 bytes");
    }
}
