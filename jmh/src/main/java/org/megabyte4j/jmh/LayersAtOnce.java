package org.megabyte4j.jmh;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** The local model's layers at once, in bf16; a model that is too small for the kernels has them 64 wide. */
final class LayersAtOnce {
    private static final int HEAD = 64;

    private final Program p;
    private final AttentionShape shape;
    private final int dim;
    private final Tensor x;
    private final Tensor out;
    private final Tensor mean;
    private final Tensor rstd;
    private final Tensor d;

    LayersAtOnce(Program p, MegabyteConfig model, long patches) {
        this.p = p;
        dim = width(model);
        shape = new AttentionShape(patches, model.patchSize(), dim / HEAD, 1, HEAD);
        x = bf16(shape.rows(), dim);
        out = p.empty(DType.BF16, shape.rows(), dim);
        mean = p.values(shape.rows());
        rstd = p.values(shape.rows());
        d = bf16(shape.rows(), dim);
    }

    static int width(MegabyteConfig model) {
        return Math.max(HEAD, model.localSize());
    }

    private Tensor bf16(long... sizes) {
        return p.values(DType.BF16, sizes);
    }

    private FeedForwardParameters feedForwardWeights() {
        return new FeedForwardParameters(bf16(dim), bf16(dim), bf16(4L * dim, dim), bf16(4L * dim), bf16(dim, 4L * dim),
                bf16(dim));
    }

    private AttentionParameters attentionWeights() {
        return new AttentionParameters(bf16(dim), bf16(dim), bf16(shape.packedWidth(), dim), bf16(dim, shape.width()));
    }

    KernelCase.Call feedForward() {
        FeedForwardParameters weights = feedForwardWeights();
        return KernelCase.Call.of(ops -> ops.feedForward(weights, x, out, mean, rstd));
    }

    KernelCase.Call feedForwardBackward() {
        FeedForwardParameters weights = feedForwardWeights();
        FeedForwardParameters gradients = new FeedForwardParameters(p.empty(dim), p.empty(dim), p.empty(4L * dim, dim),
                p.empty(4L * dim), p.empty(dim, 4L * dim), p.empty(dim));
        FeedForwardFactors factors = new FeedForwardFactors(bf16(shape.rows(), dim), bf16(shape.rows(), 4L * dim),
                bf16(shape.rows(), 4L * dim), bf16(shape.rows(), dim));
        return KernelCase.Call.of(ops -> ops.feedForwardBackward(weights, x, mean, rstd, d, factors, gradients));
    }

    KernelCase.Call selfAttention() {
        AttentionParameters weights = attentionWeights();
        Tensor qkv = bf16(shape.rows(), shape.packedWidth());
        Tensor attended = bf16(shape.rows(), shape.width());
        return KernelCase.Call.of(ops -> ops.selfAttention(shape, weights, AttentionBias.ALIBI, x, qkv, attended, out,
                mean, rstd));
    }

    KernelCase.Call selfAttentionBackward() {
        AttentionParameters weights = attentionWeights();
        AttentionParameters gradients = new AttentionParameters(p.empty(dim), p.empty(dim),
                p.empty(shape.packedWidth(), dim), p.empty(dim, shape.width()));
        AttentionFactors factors = new AttentionFactors(bf16(shape.rows(), dim),
                bf16(shape.rows(), shape.packedWidth()), bf16(shape.rows(), dim));
        Tensor qkv = bf16(shape.rows(), shape.packedWidth());
        return KernelCase.Call.of(ops -> ops.selfAttentionBackward(shape, weights, AttentionBias.ALIBI, x, qkv, mean,
                rstd, d, factors, gradients));
    }
}
