package org.megabyte4j.backend.cpu;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ShapeChecks;
import org.megabyte4j.tensor.Tensor;

/** Computes nothing, but checks shapes, and notes how much workspace the same calls will need. */
final class WorkspaceMeter extends ShapeChecks {
    private final int threads;
    private long elements;

    WorkspaceMeter(int threads) {
        this.threads = threads;
    }

    /** Float32 elements that the largest of the calls so far needs. */
    long elements() {
        return elements;
    }

    private void need(long wanted) {
        elements = Math.max(elements, wanted);
    }

    @Override
    protected boolean widensWeights() {
        return true;
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        super.linear(x, weight, bias, addend, out);
        need(LinearOps.workspace(weight, out));
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        super.causalAttention(shape, qkv, bias, out, logSumExp);
        need(shape.length() <= ShortAttention.LONGEST ? ShortAttention.workspace(shape, threads)
                : TiledAttention.forwardWorkspace(shape, threads));
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        super.causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv);
        need(shape.length() <= ShortAttention.LONGEST ? ShortAttention.workspace(shape, threads)
                : TiledAttention.backwardWorkspace(shape, threads));
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        super.cachedAttention(shape, qkv, bias, cache, past, out);
        need(CachedAttention.workspace(shape, cache.size(1), threads));
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        super.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias);
        need(LayerNormOps.workspace(weight.elements(), threads));
    }
}
