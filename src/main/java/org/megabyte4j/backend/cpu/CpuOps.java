package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.megabyte4j.backend.cpu.CpuTensors.segment;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** The operations of one program on the CPU; each is done when its call returns. */
final class CpuOps implements Ops {
    private final Workers workers;
    private final Kernels kernels;
    private final Tensor workspace;
    private final EmbeddingOps embeddings;
    private final LinearOps linear;
    private final LayerNormOps norms;
    private final TiledAttention tiledAttention;
    private final ShortAttention shortAttention;
    private final CachedAttention cachedAttention;
    private final SamplingOps sampling = new SamplingOps();
    private final CrossEntropyOps crossEntropy;
    private final AdamWOps adamW;
    private final AdafactorOps adafactor;
    private final AnyPrecisionOps anyPrecision;

    /** @param workspace as large as {@link WorkspaceMeter} found for the program */
    CpuOps(Workers workers, Kernels kernels, Gemm gemm, Tensor workspace) {
        this.workers = workers;
        this.kernels = kernels;
        this.workspace = workspace;
        embeddings = new EmbeddingOps(workers, kernels);
        linear = new LinearOps(workers, kernels, gemm);
        norms = new LayerNormOps(workers, kernels);
        tiledAttention = new TiledAttention(workers, kernels, gemm);
        shortAttention = new ShortAttention(workers, kernels);
        cachedAttention = new CachedAttention(workers, kernels);
        crossEntropy = new CrossEntropyOps(workers, kernels);
        adamW = new AdamWOps(workers, kernels);
        adafactor = new AdafactorOps(workers);
        anyPrecision = new AnyPrecisionOps(workers);
    }

    @Override
    public void fill(Tensor x, float value) {
        MemorySegment to = segment(x);
        switch (x.dtype()) {
            case F32 -> workers.forRange(x.elements(), 1 << 15, (from, end) ->
                    kernels.fill(to, from, (int) (end - from), value));
            case BF16 -> {
                for (long i = 0; i < x.elements(); i++) {
                    BFloat16.set(to, i, value);
                }
            }
            case I32 -> {
                for (long i = 0; i < x.elements(); i++) {
                    to.setAtIndex(JAVA_INT_UNALIGNED, i, (int) value);
                }
            }
            default -> throw new IllegalArgumentException(x + " cannot be filled");
        }
    }

    @Override
    public void copy(Tensor from, Tensor to) {
        MemorySegment a = segment(from);
        MemorySegment b = segment(to);
        if (from.dtype() == to.dtype()) {
            b.copyFrom(a);
        } else if (BFloat16.isHalf(to.dtype())) {
            workers.forRange(from.elements(), 1 << 15, (first, end) -> {
                for (long i = first; i < end; i++) {
                    BFloat16.set(b, i, a.getAtIndex(PlainKernels.FLOAT, i));
                }
            });
        } else {
            workers.forRange(from.elements(), 1 << 15, (first, end) -> {
                for (long i = first; i < end; i++) {
                    b.setAtIndex(PlainKernels.FLOAT, i, BFloat16.get(a, i));
                }
            });
        }
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out) {
        embeddings.forward(ids, shift, padId, table, positions, addend, out);
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        embeddings.backward(ids, shift, padId, dOut, dTable, dPositions);
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        linear.forward(x, weight, bias, addend, out, workspace);
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        linear.inputGradient(dOut, weight, addend, dX);
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        linear.weightGradient(x, dOut, dWeight, dBias);
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        linear.forwardGelu(x, weight, bias, preActivation, activated, workspace);
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        MemorySegment x = segment(preActivation);
        MemorySegment dOut = segment(dActivated);
        MemorySegment to = segment(dX);
        MemorySegment out = segment(activated);
        workers.forRange(preActivation.elements(), 1 << 12, (from, end) ->
                kernels.geluBackward(x, dOut, to, out, from, (int) (end - from)));
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        norms.forward(x, weight, bias, out, mean, rstd);
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        norms.again(x, weight, bias, mean, rstd, out);
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        norms.backward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias, segment(workspace));
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        if (shape.length() <= ShortAttention.LONGEST) {
            shortAttention.forward(shape, segment(qkv), bias, segment(out), segment(logSumExp), segment(workspace));
        } else {
            tiledAttention.forward(shape, segment(qkv), bias, segment(out), segment(logSumExp), segment(workspace));
        }
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        if (shape.length() <= ShortAttention.LONGEST) {
            shortAttention.backward(shape, segment(qkv), bias, segment(out), segment(logSumExp), segment(dOut),
                    segment(dQkv), segment(workspace));
        } else {
            tiledAttention.backward(shape, segment(qkv), bias, segment(out), segment(logSumExp), segment(dOut),
                    segment(dQkv), segment(workspace));
        }
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        cachedAttention.forward(shape, segment(qkv), bias, segment(cache), cache.size(1), segment(past), segment(out),
                segment(workspace));
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        sampling.sample(logits, settings, allowed, sequences, positions, forced, seen, chosen, faults);
    }

    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        SamplingOps.nextPatch(results, last, seesPrevious, input);
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        crossEntropy.countTargets(ids, ignoredId, count);
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        crossEntropy.lossAndGradient(logits, targets, ignoredId, count, loss, dLogits, gradientScale);
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
        adamW.norm(x, norm);
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        adamW.adamW(settings, layout, decays, scalars, clip, parameters, gradients, firstMoment, secondMoment);
        refresh(computeCopy, parameters);
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        adafactor.step(settings, layout, decays, scalars, clip, parameters, gradients, state);
        refresh(computeCopy, parameters);
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        anyPrecision.step(settings, layout, decays, scalars, clip, parameters, gradients, firstMoment, secondMoment,
                compensation);
        refresh(computeCopy, parameters);
    }

    private void refresh(Tensor computeCopy, Tensor parameters) {
        if (computeCopy != null) {
            copy(parameters, computeCopy);
        }
    }
}
