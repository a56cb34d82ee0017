package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Attention layers at once. */
class SelfAttentionKernelsTest {
    record Sizes(int patches, int length, int heads, int dim) {
        AttentionShape shape() {
            return new AttentionShape(patches, length, heads, 1, 64);
        }
    }

    /** Each length and width; a row alone, rows one over a block's; heads as wide as the model and narrower. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 1, 64), new Sizes(129, 1, 1, 64), new Sizes(64, 2, 2, 128),
                new Sizes(33, 4, 2, 128), new Sizes(1, 8, 4, 256), new Sizes(17, 8, 3, 256), new Sizes(9, 16, 1, 128));
    }

    private static AttentionParameters weights(Tensors t, Sizes s) {
        AttentionShape shape = s.shape();
        return new AttentionParameters(t.normal(1.0, 0.3, s.dim), t.normal(0.0, 0.3, s.dim),
                t.normal(0.0, 1.5 / Math.sqrt(s.dim), shape.packedWidth(), s.dim),
                t.normal(0.0, 1 / Math.sqrt(shape.width()), s.dim, shape.width()));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void forwardAndBackward(Sizes s) {
        AttentionShape shape = s.shape();
        for (AttentionBias bias : AttentionBias.values()) {
            KernelComparison.check(DType.BF16, KernelComparison.FLOAT32, t -> {
                AttentionParameters weights = weights(t, s);
                Tensor x = t.normal(1.0, 2.0, shape.rows(), s.dim);
                Tensor qkv = t.result("qkv", shape.rows(), shape.packedWidth());
                Tensor attended = t.result("attended", shape.rows(), shape.width());
                Tensor out = t.result("out", shape.rows(), s.dim);
                Tensor alone = t.result("out without backward", shape.rows(), s.dim);
                Tensor mean = t.float32Result("mean", shape.rows());
                Tensor rstd = t.float32Result("rstd", shape.rows());
                Tensor d = t.changed("d", shape.rows(), s.dim);
                AttentionFactors factors = new AttentionFactors(t.result("normed", shape.rows(), s.dim),
                        t.result("dQkv", shape.rows(), shape.packedWidth()), t.result("dOut", shape.rows(), s.dim));
                AttentionParameters gradients = new AttentionParameters(t.float32Changed("dNorm", s.dim),
                        t.float32Changed("dNormBias", s.dim), t.float32Changed("dToQkv", shape.packedWidth(), s.dim),
                        t.float32Changed("dToOut", s.dim, shape.width()));
                return ops -> {
                    ops.selfAttention(shape, weights, bias, x, null, null, alone, mean, rstd);
                    ops.selfAttention(shape, weights, bias, x, qkv, attended, out, mean, rstd);
                    ops.selfAttentionBackward(shape, weights, bias, x, qkv, mean, rstd, d, factors, gradients);
                    ops.linearWeightGradient(factors.normed(), factors.dQkv(), gradients.toQkv(), null);
                    ops.linearWeightGradient(attended, factors.dOut(), gradients.toOut(), null);
                };
            });
        }
    }

    @Test
    void whatThereIsNoKernelForIsSaid() {
        assertThat(SelfAttentionKernels.obstacles(DType.BF16, 256, new AttentionShape(9, 8, 4, 1, 64))).isEmpty();
        assertThat(SelfAttentionKernels.obstacles(DType.F32, 512, new AttentionShape(9, 5, 4, 2, 32))).containsExactly(
                "attention layers at once are computed in bf16, not in float32",
                "the layer's width is 512; it can be [64, 128, 256]",
                "its sequences have 5 positions; they can have 1, 2, 4, 8 or 16",
                "it has 4 heads of size 32 with 2 for keys and values; it can have 8 of size 64 with 1");
    }
}
