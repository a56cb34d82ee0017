package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.LocalModel;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** The operations of one program on a GPU; a call only enqueues its kernels. */
final class CudaOps implements Ops {
    private final CudaKernels kernels;
    private final Tensor workspace;

    /** @param workspace as large as {@link CudaWorkspaceMeter} found; every operation may overwrite it */
    CudaOps(CudaKernels kernels, Tensor workspace) {
        this.kernels = kernels;
        this.workspace = workspace;
    }

    /** Whether the sequences are short enough for whole ones to be held in registers. */
    static boolean isLocal(AttentionShape shape) {
        return shape.length() <= LocalAttentionKernels.LONGEST;
    }

    @Override
    public void fill(Tensor x, float value) {
        kernels.elementwise().fill(x, value);
    }

    @Override
    public void copy(Tensor from, Tensor to) {
        kernels.elementwise().copy(from, to);
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend,
            Tensor out) {
        kernels.embedding().embed(ids, shift, padId, table, positions, addend, out);
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        kernels.embedding().embedBackward(ids, shift, padId, dOut, dTable, dPositions, workspace);
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        kernels.linear().forward(x, weight, bias, addend, out, workspace);
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        kernels.linear().inputGradient(dOut, weight, addend, dX, workspace);
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        kernels.linear().weightGradient(x, dOut, dWeight, dBias, workspace);
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        kernels.linear().forwardGelu(x, weight, bias, preActivation, activated, workspace);
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        kernels.gelu().geluBackward(preActivation, dActivated, dX, activated);
    }

    @Override
    public void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        kernels.feedForward().feedForward(weights, x, out, mean, rstd);
    }

    @Override
    public void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        kernels.feedForward().feedForwardBackward(weights, x, mean, rstd, d, factors, gradients, workspace);
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        kernels.layerNorm().layerNorm(x, weight, bias, out, mean, rstd);
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        kernels.layerNorm().layerNormAgain(x, weight, bias, mean, rstd, out);
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        kernels.layerNorm().layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias, workspace);
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        if (isLocal(shape)) {
            kernels.localAttention().causalAttention(shape, qkv, bias, out, logSumExp);
        } else {
            kernels.patchAttention().causalAttention(shape, qkv, bias, out, logSumExp, workspace);
        }
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        if (isLocal(shape)) {
            kernels.localAttention().causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv);
        } else {
            kernels.patchAttention().causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv, workspace);
        }
    }

    @Override
    public void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        kernels.selfAttention().selfAttention(shape, weights, bias, x, qkv, attended, out, mean, rstd);
    }

    @Override
    public void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        kernels.selfAttention().selfAttentionBackward(shape, weights, bias, x, qkv, mean, rstd, d, factors, gradients,
                workspace);
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        kernels.cachedAttention().cachedAttention(shape, qkv, bias, cache, past, out, workspace);
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        kernels.sampling().sample(logits, settings, allowed, sequences, positions, forced, seen, chosen, faults);
    }

    @Override
    public void decodePatch(LocalModel model, Tensor slices, PatchChoice choice, Tensor logits) {
        kernels.localDecode().decodePatch(model, slices, choice, logits);
    }

    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        kernels.nextPatch().nextPatch(results, last, seesPrevious, input);
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        kernels.crossEntropy().countTargets(ids, ignoredId, count);
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        kernels.crossEntropy().softmaxCrossEntropy(logits, targets, ignoredId, count, loss, dLogits, gradientScale,
                workspace);
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
        kernels.optimizer().norm(x, norm, workspace);
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        kernels.optimizer().adamW(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients,
                firstMoment, secondMoment);
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        kernels.optimizer().adafactor(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients,
                state, workspace);
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        kernels.optimizer().anyPrecisionAdamW(settings, layout, decays, scalars, clip, parameters, computeCopy,
                gradients, firstMoment, secondMoment, compensation);
    }
}
