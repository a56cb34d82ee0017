package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.LocalModel;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.backend.ShapeChecks;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * Computes nothing, but checks shapes, loads the kernels, prepares the matrix products, and notes how much workspace
 * the same calls will need.
 */
final class CudaWorkspaceMeter extends ShapeChecks {
    private final CudaKernels kernels;
    private long bytes;

    CudaWorkspaceMeter(CudaKernels kernels) {
        this.kernels = kernels;
    }

    /** What the largest of the calls so far needs. */
    long bytes() {
        return bytes;
    }

    @Override
    protected boolean computesIn(DType dtype) {
        return CudaBackend.computesIn(dtype);
    }

    private void need(long wanted) {
        bytes = Math.max(bytes, wanted);
    }

    @Override
    public void fill(Tensor x, float value) {
        super.fill(x, value);
        kernels.elementwise();
    }

    @Override
    public void copy(Tensor from, Tensor to) {
        super.copy(from, to);
        kernels.elementwise();
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend,
            Tensor out) {
        super.embed(ids, shift, padId, table, positions, addend, out);
        kernels.embedding();
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        super.embedBackward(ids, shift, padId, dOut, dTable, dPositions);
        need(kernels.embedding().embedBackwardWorkspaceBytes(ids, dTable, dPositions));
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        super.linear(x, weight, bias, addend, out);
        need(kernels.linear().prepareForward(x, weight, bias, addend, out));
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        super.linearInputGradient(dOut, weight, addend, dX);
        need(kernels.linear().prepareInputGradient(dOut, weight, addend, dX));
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        super.linearWeightGradient(x, dOut, dWeight, dBias);
        need(kernels.linear().prepareWeightGradient(x, dOut, dWeight, dBias));
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        super.linearGelu(x, weight, bias, preActivation, activated);
        need(kernels.linear().prepareForwardGelu(x, weight, bias, preActivation));
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        super.geluBackward(preActivation, dActivated, dX, activated);
        kernels.gelu();
    }

    @Override
    public void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        super.feedForward(weights, x, out, mean, rstd);
        kernels.feedForward().prepare(weights, x, out);
    }

    @Override
    public void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        super.feedForwardBackward(weights, x, mean, rstd, d, factors, gradients);
        kernels.feedForward().prepare(weights, x, d, factors.normed(), factors.dOut());
        need(kernels.feedForward().feedForwardBackwardWorkspaceBytes(mean.elements(), weights.dim(),
                weights.hidden()));
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        super.layerNorm(x, weight, bias, out, mean, rstd);
        kernels.layerNorm();
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        super.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias);
        need(kernels.layerNorm().layerNormBackwardWorkspaceBytes(x.elements() / weight.elements(), weight.elements()));
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        super.causalAttention(shape, qkv, bias, out, logSumExp);
        if (CudaOps.isLocal(shape)) {
            kernels.localAttention().prepare(shape, qkv.dtype());
        } else {
            need(kernels.patchAttention().causalAttentionWorkspaceBytes(shape, bias, qkv.dtype()));
        }
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        super.causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv);
        if (CudaOps.isLocal(shape)) {
            kernels.localAttention().prepare(shape, qkv.dtype());
        } else {
            need(kernels.patchAttention().causalAttentionBackwardWorkspaceBytes(shape, bias, qkv.dtype()));
        }
    }

    @Override
    public void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        super.selfAttention(shape, weights, bias, x, qkv, attended, out, mean, rstd);
        kernels.selfAttention().prepare(shape, weights, x, out);
    }

    @Override
    public void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        super.selfAttentionBackward(shape, weights, bias, x, qkv, mean, rstd, d, factors, gradients);
        kernels.selfAttention().prepare(shape, weights, x, d, factors.normed(), factors.dOut());
        need(kernels.selfAttention().selfAttentionBackwardWorkspaceBytes(shape, weights.dim()));
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        super.cachedAttention(shape, qkv, bias, cache, past, out);
        need(kernels.cachedAttention().cachedAttentionWorkspaceBytes(shape, cache.size(1)));
    }

    @Override
    public void decodePatch(LocalModel model, Tensor slices, PatchChoice choice, Tensor logits) {
        super.decodePatch(model, slices, choice, logits);
        kernels.localDecode().require(model, choice);
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        super.sample(logits, settings, allowed, sequences, positions, forced, seen, chosen, faults);
        kernels.sampling().require(logits.columns());
    }

    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        super.nextPatch(results, last, seesPrevious, input);
        kernels.nextPatch();
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        super.countTargets(ids, ignoredId, count);
        kernels.crossEntropy();
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        super.softmaxCrossEntropy(logits, targets, ignoredId, count, loss, dLogits, gradientScale);
        need(kernels.crossEntropy().softmaxCrossEntropyWorkspaceBytes(logits.rows()));
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
        super.norm(x, norm);
        need(kernels.optimizer().normWorkspaceBytes(x.elements()));
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        super.adamW(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients, firstMoment,
                secondMoment);
        kernels.optimizer().prepareRuns(layout, decays);
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        super.adafactor(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients, state);
        kernels.optimizer().prepareEntries(layout, decays);
        need(kernels.optimizer().adafactorWorkspaceBytes(layout));
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        super.anyPrecisionAdamW(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients,
                firstMoment, secondMoment, compensation);
        kernels.optimizer().prepareRuns(layout, decays);
    }
}
