package org.megabyte4j.backend.cpu;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Computes nothing, but notes how much workspace the same calls will need. */
final class WorkspaceMeter implements Ops {
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
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        need(shape.length() <= ShortAttention.LONGEST ? ShortAttention.workspace(shape, threads)
                : TiledAttention.forwardWorkspace(shape, threads));
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        need(shape.length() <= ShortAttention.LONGEST ? ShortAttention.workspace(shape, threads)
                : TiledAttention.backwardWorkspace(shape, threads));
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        need(CachedAttention.workspace(cache.size(1), threads));
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        need(LayerNormOps.workspace(weight.elements(), threads));
    }

    @Override
    public void fill(Tensor x, float value) {
    }

    @Override
    public void copy(Tensor from, Tensor to) {
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out) {
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor gradients, Tensor state) {
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor gradients, Tensor firstMoment, Tensor secondMoment,
            Tensor compensation) {
    }
}
