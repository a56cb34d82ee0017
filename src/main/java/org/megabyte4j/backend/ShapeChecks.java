package org.megabyte4j.backend;

import static org.megabyte4j.tensor.DType.BF16;
import static org.megabyte4j.tensor.DType.F32;
import static org.megabyte4j.tensor.DType.I32;

import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/**
 * Computes nothing, but refuses tensors that an operation would read or write beyond their ends. A program's dry run
 * goes through it, so that the kernels, which address memory directly, need no checks of their own. A backend's dry run
 * extends it by what it wants to know of a program.
 *
 * <p>Activations and the weights that they meet have one dtype within a call, F32 unless the backend computes in others
 * as well. Statistics and gradients of parameters are F32 always.
 */
public class ShapeChecks implements Ops {
    private static void need(String what, Tensor tensor, long elements) {
        if (tensor != null && tensor.elements() != elements) {
            throw new ShapeException(what + " is " + tensor + ", but " + elements + " elements are needed");
        }
    }

    private static void need(String what, Tensor tensor, DType dtype, long elements) {
        need(what, tensor, elements);
        if (tensor != null && tensor.dtype() != dtype) {
            throw new ShapeException(what + " is " + tensor + ", but " + dtype + " is needed");
        }
    }

    /** Whether activations and weights can be of this type. */
    protected boolean computesIn(DType dtype) {
        return dtype == F32;
    }

    /** The dtype of a call's activations and weights, which this one of them decides. */
    private DType compute(String what, Tensor tensor) {
        if (!computesIn(tensor.dtype())) {
            throw new ShapeException(what + " is " + tensor + ", but " + (computesIn(BF16) ? "F32 or BF16" : "F32")
                    + " is needed");
        }
        return tensor.dtype();
    }

    /** Whether a weight can be BF16 where activations are F32. */
    protected boolean widensWeights() {
        return false;
    }

    private static void matrix(String what, Tensor tensor) {
        if (tensor.rank() != 2) {
            throw new ShapeException(what + " is " + tensor + ", but a matrix is needed");
        }
    }

    @Override
    public void fill(Tensor x, float value) {
    }

    @Override
    public void copy(Tensor from, Tensor to) {
        need("the target of a copy of " + from, to, from.elements());
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend,
            Tensor out) {
        DType dtype = compute("the embedding table", table);
        embedding(ids, padId, table, positions, dtype);
        need("embed's addend", addend, dtype, ids.elements() * table.columns());
        need("embed's out", out, dtype, ids.elements() * table.columns());
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        need("the embedding table", dTable, F32, dTable.elements());
        embedding(ids, padId, dTable, dPositions, F32);
        need("embedBackward's dOut", dOut, compute("embedBackward's dOut", dOut), ids.elements() * dTable.columns());
    }

    private static void embedding(Tensor ids, int padId, Tensor table, Tensor positions, DType dtype) {
        need("the ids", ids, I32, ids.elements());
        matrix("the embedding table", table);
        if (padId < 0 || padId >= table.rows()) {
            throw new ShapeException("the padding id " + padId + " is not in the embedding table " + table);
        }
        need("the position embeddings", positions, dtype, positions == null ? 0 : positions.elements());
        if (positions != null && (positions.columns() != table.columns() || positions.rows() < ids.columns())) {
            throw new ShapeException("the position embeddings are " + positions + ", but " + ids.columns()
                    + " rows of " + table.columns() + " are needed");
        }
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        DType dtype = weight.dtype() == BF16 && x.dtype() == F32 && widensWeights() ? F32
                : compute("linear's weight", weight);
        matrix("linear's weight", weight);
        long rows = out.elements() / weight.rows();
        need("linear's x", x, dtype, rows * weight.columns());
        need("linear's bias", bias, dtype, weight.rows());
        need("linear's addend", addend, dtype, rows * weight.rows());
        need("linear's out", out, dtype, rows * weight.rows());
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        DType dtype = compute("linearInputGradient's weight", weight);
        matrix("linearInputGradient's weight", weight);
        long rows = dX.elements() / weight.columns();
        need("linearInputGradient's dOut", dOut, dtype, rows * weight.rows());
        need("linearInputGradient's addend", addend, dtype, rows * weight.columns());
        need("linearInputGradient's dX", dX, dtype, rows * weight.columns());
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        DType dtype = compute("linearWeightGradient's x", x);
        need("linearWeightGradient's dWeight", dWeight, F32, dWeight.elements());
        matrix("linearWeightGradient's dWeight", dWeight);
        long rows = dOut.elements() / dWeight.rows();
        need("linearWeightGradient's x", x, dtype, rows * dWeight.columns());
        need("linearWeightGradient's dOut", dOut, dtype, rows * dWeight.rows());
        need("linearWeightGradient's dBias", dBias, F32, dWeight.rows());
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        linear(x, weight, bias, null, preActivation);
        need("linearGelu's activated", activated, preActivation.dtype(), preActivation.elements());
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        DType dtype = compute("geluBackward's preActivation", preActivation);
        need("geluBackward's dActivated", dActivated, dtype, preActivation.elements());
        need("geluBackward's dX", dX, dtype, preActivation.elements());
        need("geluBackward's activated", activated, dtype, preActivation.elements());
    }

    @Override
    public void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        DType dtype = compute("the feed-forward layer's x", x);
        feedForward("the feed-forward layer's ", weights, dtype);
        normalized(x, weights.norm(), mean, rstd);
        need("the feed-forward layer's out", out, dtype, x.elements());
    }

    @Override
    public void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        feedForward(weights, x, d, mean, rstd);
        feedForward("the gradient of the feed-forward layer's ", gradients, F32);
        need("the gradient of the feed-forward layer's norm", gradients.norm(), weights.dim());
        need("the gradient of the feed-forward layer's hidden bias", gradients.expandBias(), weights.hidden());
        long hidden = mean.elements() * weights.hidden();
        need("feedForwardBackward's normed", factors.normed(), x.dtype(), x.elements());
        need("feedForwardBackward's activated", factors.activated(), x.dtype(), hidden);
        need("feedForwardBackward's dHidden", factors.dHidden(), x.dtype(), hidden);
        need("feedForwardBackward's dOut", factors.dOut(), x.dtype(), x.elements());
    }

    private static void feedForward(String what, FeedForwardParameters of, DType dtype) {
        need(what + "norm", of.norm(), dtype, of.dim());
        need(what + "norm's bias", of.normBias(), dtype, of.dim());
        need(what + "first matrix", of.expand(), dtype, of.hidden() * of.dim());
        need(what + "hidden bias", of.expandBias(), dtype, of.hidden());
        need(what + "second matrix", of.contract(), dtype, of.hidden() * of.dim());
        need(what + "bias", of.contractBias(), dtype, of.dim());
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        DType dtype = compute("layerNorm's x", x);
        normalized(x, weight, mean, rstd);
        need("layerNorm's bias", bias, dtype, weight.elements());
        need("layerNorm's out", out, dtype, x.elements());
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        layerNorm(x, weight, bias, out, mean, rstd);
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        DType dtype = compute("layerNorm's x", x);
        normalized(x, weight, mean, rstd);
        need("layerNormBackward's dOut", dOut, dtype, x.elements());
        need("layerNormBackward's dResidual", dResidual, dtype, x.elements());
        need("layerNormBackward's dX", dX, dtype, x.elements());
        need("layerNormBackward's dWeight", dWeight, F32, weight.elements());
        need("layerNormBackward's dBias", dBias, F32, weight.elements());
    }

    private static void normalized(Tensor x, Tensor weight, Tensor mean, Tensor rstd) {
        long rows = x.elements() / weight.elements();
        need("layerNorm's weight", weight, x.dtype(), weight.elements());
        need("layerNorm's x", x, rows * weight.elements());
        need("layerNorm's mean", mean, F32, rows);
        need("layerNorm's rstd", rstd, F32, rows);
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        attention(shape, qkv, out);
        need("attention's logSumExp", logSumExp, F32, shape.rows() * shape.heads());
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        attention(shape, qkv, out);
        need("attention's logSumExp", logSumExp, F32, shape.rows() * shape.heads());
        need("attention's dOut", dOut, qkv.dtype(), out.elements());
        need("attention's dQkv", dQkv, qkv.dtype(), qkv.elements());
    }

    private void attention(AttentionShape shape, Tensor qkv, Tensor out) {
        need("attention's qkv", qkv, compute("attention's qkv", qkv), shape.rows() * shape.packedWidth());
        need("attention's out", out, qkv.dtype(), shape.rows() * shape.width());
    }

    @Override
    public void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        DType dtype = compute("the attention layer's x", x);
        need("the attention layer's x", x, shape.rows() * weights.dim());
        normalized(x, weights.norm(), mean, rstd);
        attentionLayer("the attention layer's ", shape, weights, dtype);
        need("the attention layer's out", out, dtype, x.elements());
        need("attention's qkv", qkv, dtype, shape.rows() * shape.packedWidth());
        need("attention's out", attended, dtype, shape.rows() * shape.width());
    }

    @Override
    public void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        selfAttention(shape, weights, bias, x, qkv, null, d, mean, rstd);
        attentionLayer("the gradient of the attention layer's ", shape, gradients, F32);
        need("the gradient of the attention layer's norm", gradients.norm(), weights.dim());
        need("selfAttentionBackward's normed", factors.normed(), x.dtype(), x.elements());
        need("selfAttentionBackward's dQkv", factors.dQkv(), x.dtype(), shape.rows() * shape.packedWidth());
        need("selfAttentionBackward's dOut", factors.dOut(), x.dtype(), x.elements());
    }

    private static void attentionLayer(String what, AttentionShape shape, AttentionParameters of, DType dtype) {
        need(what + "norm", of.norm(), dtype, of.dim());
        need(what + "norm's bias", of.normBias(), dtype, of.dim());
        need(what + "to_qkv", of.toQkv(), dtype, shape.packedWidth() * of.dim());
        need(what + "to_out", of.toOut(), dtype, shape.width() * of.dim());
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        attention(shape, qkv, out);
        need("attention's past", past, I32, shape.batch());
        if (cache.rank() != 3) {
            throw new ShapeException("attention's cache is " + cache + ", but three axes are needed");
        }
        need("attention's cache", cache, qkv.dtype(), shape.batch() * cache.size(1) * shape.keyValueWidth());
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        matrix("the logits to sample from", logits);
        need("the logits to sample from", logits, F32, logits.elements());
        long batch = logits.rows();
        need("the sampling's settings", settings, I32, SamplingSettings.COUNT);
        need("the allowed ids", allowed, I32, logits.columns());
        need("the sequences' numbers", sequences, I32, batch);
        need("the positions", positions, I32, batch);
        need("the forced ids", forced, I32, batch);
        need("the seen ids", seen, I32, batch * Math.ceilDiv(logits.columns(), 32));
        need("the chosen ids", chosen, I32, batch);
        need("the faults", faults, I32, batch);
    }

    @Override
    public void decodePatch(LocalModel model, Tensor slices, PatchChoice choice, Tensor logits) {
        DType dtype = compute("the local model's table", model.table());
        long batch = choice.previous().elements();
        long patch = choice.forced().rows();
        long dim = model.dim();
        long vocabulary = model.vocabulary();
        long width = (long) model.heads() * model.headSize();
        for (LocalModel.Layer layer : model.layers()) {
            need("a local layer's norm", layer.attentionNormWeight(), dtype, dim);
            need("a local layer's norm", layer.attentionNormBias(), dtype, dim);
            need("a local layer's qkv", layer.qkv(), dtype, (width + 2L * model.headSize()) * dim);
            need("a local layer's out", layer.out(), dtype, dim * width);
            need("a local layer's norm", layer.feedForwardNormWeight(), dtype, dim);
            need("a local layer's norm", layer.feedForwardNormBias(), dtype, dim);
            need("a local layer's expand", layer.expand(), dtype, 4 * dim * dim);
            need("a local layer's expandBias", layer.expandBias(), dtype, 4 * dim);
            need("a local layer's contract", layer.contract(), dtype, 4 * dim * dim);
            need("a local layer's contractBias", layer.contractBias(), dtype, dim);
        }
        need("the head's weight", model.headWeight(), dtype, vocabulary * dim);
        need("the head's bias", model.headBias(), dtype, vocabulary);
        need("decodePatch's slices", slices, dtype, batch * patch * dim);
        need("decodePatch's logits", logits, F32, patch * batch * vocabulary);
        need("the previous ids", choice.previous(), I32, batch);
        need("the results", choice.results(), I32, 2 * patch * batch);
        need("the positions", choice.positions(), I32, patch * batch);
        need("the forced ids", choice.forced(), I32, patch * batch);
        sample(logits.part(0, batch, vocabulary), choice.settings(), choice.allowed(), choice.sequences(),
                choice.positions().part(0, batch), choice.forced().part(0, batch), choice.seen(),
                choice.results().part(0, batch), choice.results().part(batch, batch));
    }

    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        long batch = input.past().elements();
        long bytes = input.forced().elements();
        if (bytes != input.forced().rows() * batch) {
            throw new ShapeException("the forced ids are " + input.forced() + ", but " + batch
                    + " for each byte are needed");
        }
        need("the results", results, I32, 2 * bytes);
        need("the ids before", input.earlier(), I32, bytes);
        need("the bytes' positions", input.bytePositions(), I32, bytes);
        need("the patches' positions", input.past(), I32, batch);
        need("the forced ids", input.forced(), I32, bytes);
        need("the positions", input.positions(), I32, bytes);
        need("the previous ids", input.previous(), I32, batch);
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        need("the targets", ids, I32, ids.elements());
        need("the count of targets", count, I32, 1);
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        countTargets(targets, ignoredId, count);
        need("the logits", logits, compute("the logits", logits), targets.elements() * logits.columns());
        need("the loss", loss, F32, 1);
        need("dLogits", dLogits, logits.dtype(), logits.elements());
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
        need("what the norm is taken of", x, F32, x.elements());
        need("the norm", norm, F32, 1);
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        need("the parameters", parameters, F32, layout.elements());
        need("the parameters' compute copy", computeCopy, BF16, layout.elements());
        need("the gradients", gradients, F32, layout.elements());
        need("the first moment", firstMoment, F32, layout.elements());
        need("the second moment", secondMoment, F32, layout.elements());
        optimizer(layout, decays, scalars, clip);
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        need("the parameters", parameters, F32, layout.elements());
        need("the parameters' compute copy", computeCopy, BF16, layout.elements());
        need("the gradients", gradients, F32, layout.elements());
        need("Adafactor's state", state, F32, Ops.adafactorStateElements(layout));
        optimizer(layout, decays, scalars, clip);
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        need("the parameters", parameters, layout.elements());
        need("the parameters' compute copy", computeCopy, BF16, layout.elements());
        need("the gradients", gradients, layout.elements());
        need("the first moment", firstMoment, layout.elements());
        need("the second moment", secondMoment, layout.elements());
        need("the compensation", compensation, layout.elements());
        optimizer(layout, decays, scalars, clip);
    }

    private static void optimizer(ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip) {
        need("the step's scalars", scalars, F32, StepScalars.COUNT);
        need("the norm", clip.norm(), F32, 1);
        if (decays.length != layout.entries().size()) {
            throw new ShapeException(decays.length + " flags of weight decay do not fit " + layout.entries().size()
                    + " parameters");
        }
    }
}
