package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.AttentionBias;
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

    /** Each length and width; a row alone, rows one over a block's; narrower and wider heads than the model. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 4, 64), new Sizes(129, 1, 1, 64), new Sizes(64, 2, 2, 64),
                new Sizes(33, 4, 2, 128), new Sizes(1, 8, 4, 64), new Sizes(17, 8, 4, 256), new Sizes(9, 16, 3, 128));
    }

    private static AttentionParameters weights(Tensors t, Sizes s) {
        AttentionShape shape = s.shape();
        return new AttentionParameters(t.normal(1.0, 0.3, s.dim), t.normal(0.0, 0.3, s.dim),
                t.normal(0.0, 1.5 / Math.sqrt(s.dim), shape.packedWidth(), s.dim),
                t.normal(0.0, 1 / Math.sqrt(shape.width()), s.dim, shape.width()));
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void forward(Sizes s) {
        AttentionShape shape = s.shape();
        for (AttentionBias bias : AttentionBias.values()) {
            KernelComparison.check(DType.BF16, KernelComparison.FLOAT32, t -> {
                AttentionParameters weights = weights(t, s);
                Tensor x = t.normal(1.0, 2.0, shape.rows(), s.dim);
                Tensor qkv = t.result("qkv", shape.rows(), shape.packedWidth());
                Tensor attended = t.result("attended", shape.rows(), shape.width());
                Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
                Tensor out = t.result("out", shape.rows(), s.dim);
                Tensor alone = t.result("out without backward", shape.rows(), s.dim);
                Tensor mean = t.float32Result("mean", shape.rows());
                Tensor rstd = t.float32Result("rstd", shape.rows());
                return ops -> {
                    ops.selfAttention(shape, weights, bias, x, null, null, null, alone, mean, rstd);
                    ops.selfAttention(shape, weights, bias, x, qkv, attended, logSumExp, out, mean, rstd);
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
                "it has 2 key/value heads of size 32; it can have 1 of size 64");
    }
}
