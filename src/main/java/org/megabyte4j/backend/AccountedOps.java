package org.megabyte4j.backend;

import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * Other operations, with an account of each call: the one place that says what an operation costs. On top of
 * {@link ShapeChecks} it counts a program that does not run; on top of a device's operations it can time each.
 */
public abstract class AccountedOps implements Ops {
    private final Ops to;

    /** @param to what is called */
    protected AccountedOps(Ops to) {
        this.to = to;
    }

    /**
     * A call of an operation.
     *
     * @param operation its name in {@link Ops}
     * @param dtype     of activations and weights
     * @param parameter a parameter, or its gradient, that tells which layer it is; null where there is none
     */
    public record Call(String operation, DType dtype, Cost cost, Tensor parameter) { }

    /** Takes note of a call, and runs it. */
    protected abstract void account(Call call, Runnable work);

    private void account(String operation, Tensor x, Cost cost, Tensor parameter, Runnable work) {
        account(new Call(operation, x.dtype(), cost, parameter), work);
    }

    @Override
    public void fill(Tensor x, float value) {
        account("fill", x, Cost.moving(x), x, () -> to.fill(x, value));
    }

    @Override
    public void copy(Tensor from, Tensor target) {
        account("copy", target, Cost.moving(from, target), target, () -> to.copy(from, target));
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend,
            Tensor out) {
        Cost cost = Cost.moving(ids, addend, out).plus(rowsOf(table, ids.elements())).plus(rowsOf(positions, ids));
        account("embed", out, cost, table, () -> to.embed(ids, shift, padId, table, positions, addend, out));
    }

    /** The table's gradient is read and written once, whatever the order of the ids. */
    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        Cost table = rowsOf(dTable, ids.elements()).plus(rowsOf(dPositions, ids));
        account("embedBackward", dOut, Cost.moving(ids, dOut).plus(table).plus(table), dTable,
                () -> to.embedBackward(ids, shift, padId, dOut, dTable, dPositions));
    }

    /** As many rows of a table as are looked up, or all of them if those are fewer. */
    private static Cost rowsOf(Tensor table, long lookups) {
        return new Cost(Math.min(table.bytes(), lookups * table.columns() * table.dtype().bytes()), 0);
    }

    private static Cost rowsOf(Tensor positions, Tensor ids) {
        return positions == null ? Cost.NONE : rowsOf(positions, ids.columns());
    }

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        account("linear", out, Cost.moving(x, weight, bias, addend, out).plus(forward(weight, out)), weight,
                () -> to.linear(x, weight, bias, addend, out));
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        account("linearInputGradient", dX, Cost.moving(dOut, weight, addend, dX).plus(forward(weight, dOut)), weight,
                () -> to.linearInputGradient(dOut, weight, addend, dX));
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        Cost cost = Cost.moving(x, dOut).plus(Cost.updating(dWeight, dBias)).plus(forward(dWeight, dOut));
        account("linearWeightGradient", dOut, cost, dWeight, () -> to.linearWeightGradient(x, dOut, dWeight, dBias));
    }

    /** @param weight {@code [out, in]}, as {@code result} is {@code [rows, out]} */
    private static Cost forward(Tensor weight, Tensor result) {
        return Cost.product(result.elements() / weight.rows(), weight.elements());
    }

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        Cost cost = Cost.moving(x, weight, bias, preActivation, activated).plus(forward(weight, preActivation));
        account("linearGelu", activated, cost, weight, () -> to.linearGelu(x, weight, bias, preActivation, activated));
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        account("geluBackward", dX, Cost.moving(preActivation, dActivated, dX, activated), null,
                () -> to.geluBackward(preActivation, dActivated, dX, activated));
    }

    @Override
    public void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        Cost cost = matrices(weights).plus(Cost.moving(x, out, mean, rstd))
                .plus(Cost.product(mean.elements(), weights.expand().elements() + weights.contract().elements()));
        account("feedForward", out, cost, weights.expand(), () -> to.feedForward(weights, x, out, mean, rstd));
    }

    /** The first product once more, and both the other way round. */
    @Override
    public void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        Cost cost = matrices(weights)
                .plus(Cost.moving(x, mean, rstd, factors.normed(), factors.activated(), factors.dHidden(),
                        factors.dOut()))
                .plus(Cost.updating(d, gradients.norm(), gradients.normBias(), gradients.expandBias(),
                        gradients.contractBias()))
                .plus(Cost.product(mean.elements(), 2 * weights.expand().elements() + weights.contract().elements()));
        account("feedForwardBackward", d, cost, weights.expand(),
                () -> to.feedForwardBackward(weights, x, mean, rstd, d, factors, gradients));
    }

    private static Cost matrices(FeedForwardParameters weights) {
        return Cost.moving(weights.norm(), weights.normBias(), weights.expand(), weights.expandBias(),
                weights.contract(), weights.contractBias());
    }

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        account("layerNorm", out, Cost.moving(x, weight, bias, out, mean, rstd), weight,
                () -> to.layerNorm(x, weight, bias, out, mean, rstd));
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        account("layerNormAgain", out, Cost.moving(x, weight, bias, mean, rstd, out), weight,
                () -> to.layerNormAgain(x, weight, bias, mean, rstd, out));
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        Cost cost = Cost.moving(dOut, x, weight, mean, rstd, dResidual, dX).plus(Cost.updating(dWeight, dBias));
        account("layerNormBackward", dX, cost, weight,
                () -> to.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias));
    }

    /** Queries with keys, and probabilities with values. */
    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        account("causalAttention", out, Cost.moving(qkv, out, logSumExp).plus(Cost.scores(shape, 2)), null,
                () -> to.causalAttention(shape, qkv, bias, out, logSumExp));
    }

    /** Five products: the scores, which are computed again, and two for each of forward's. */
    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        account("causalAttentionBackward", dQkv,
                Cost.moving(qkv, out, logSumExp, dOut, dQkv).plus(Cost.scores(shape, 5)), null,
                () -> to.causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv));
    }

    @Override
    public void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        account("selfAttention", out, layer(shape, weights, 2).plus(Cost.moving(x, qkv, attended, out, mean, rstd)),
                weights.toQkv(),
                () -> to.selfAttention(shape, weights, bias, x, qkv, attended, out, mean, rstd));
    }

    @Override
    public void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        Cost cost = layer(shape, weights, 5)
                .plus(Cost.moving(x, qkv, mean, rstd, factors.normed(), factors.dQkv(), factors.dOut()))
                .plus(Cost.updating(d, gradients.norm(), gradients.normBias()));
        account("selfAttentionBackward", d, cost, weights.toQkv(),
                () -> to.selfAttentionBackward(shape, weights, bias, x, qkv, mean, rstd, d, factors, gradients));
    }

    /** Both projections once, and the attention's products. */
    private static Cost layer(AttentionShape shape, AttentionParameters weights, int products) {
        return Cost.moving(weights.norm(), weights.normBias(), weights.toQkv(), weights.toOut())
                .plus(Cost.product(shape.rows(), weights.toQkv().elements() + weights.toOut().elements()))
                .plus(Cost.scores(shape, products));
    }

    /** How full the cache is lies on the device: the new positions are taken to be the last of a full one. */
    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        long capacity = cache.size(1);
        long pairs = shape.batch() * (shape.length() * capacity - shape.length() * (shape.length() - 1) / 2);
        Cost cost = Cost.moving(qkv, cache, out).plus(new Cost(0, 4L * shape.width() * pairs));
        account("cachedAttention", out, cost, null,
                () -> to.cachedAttention(shape, qkv, bias, cache, past, out));
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        Cost cost = Cost.moving(logits, settings, allowed, sequences, positions, forced, chosen, faults)
                .plus(Cost.updating(seen));
        account("sample", logits, cost, null,
                () -> to.sample(logits, settings, allowed, sequences, positions, forced, seen, chosen, faults));
    }

    /** All matrices once, and a product of each byte's row with every one of them; its bytes attend to each other. */
    @Override
    public void decodePatch(LocalModel model, Tensor slices, PatchChoice choice, Tensor logits) {
        long patch = choice.positions().rows();
        long weights = model.matrixBytes() / model.headWeight().dtype().bytes();
        Cost attention = Cost.scores(new AttentionShape(slices.rows() / patch, patch, model.heads(), 1,
                model.headSize()), 2);
        Cost cost = Cost.moving(slices, logits).plus(new Cost(model.matrixBytes(), 0))
                .plus(Cost.product(slices.rows(), weights))
                .plus(new Cost(0, model.layers().size() * attention.flops()));
        account("decodePatch", slices, cost, model.headWeight(), () -> to.decodePatch(model, slices, choice, logits));
    }

    /** Of the results the ids are read, and indices go on to the next patch. */
    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        Cost cost = new Cost(results.bytes() / 2, 0)
                .plus(Cost.moving(input.earlier(), input.forced(), input.previous()))
                .plus(Cost.updating(input.bytePositions(), input.past(), input.positions()));
        account("nextPatch", results, cost, null, () -> to.nextPatch(results, last, seesPrevious, input));
    }

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        account("countTargets", ids, Cost.moving(ids, count), null, () -> to.countTargets(ids, ignoredId, count));
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        account("softmaxCrossEntropy", logits, Cost.moving(logits, targets, count, dLogits).plus(Cost.updating(loss)),
                null, () -> to.softmaxCrossEntropy(logits, targets, ignoredId, count, loss, dLogits, gradientScale));
    }

    @Override
    public void norm(Tensor x, Tensor norm) {
        account("norm", x, Cost.moving(x, norm), x, () -> to.norm(x, norm));
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        Cost cost = Cost.moving(computeCopy, gradients).plus(Cost.updating(parameters, firstMoment, secondMoment));
        account("adamW", parameters, cost, null, () -> to.adamW(settings, layout, decays, scalars, clip, parameters,
                computeCopy, gradients, firstMoment, secondMoment));
    }

    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        account("adafactor", parameters, Cost.moving(computeCopy, gradients).plus(Cost.updating(parameters, state)),
                null, () -> to.adafactor(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients,
                        state));
    }

    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        Cost cost = Cost.moving(computeCopy, gradients)
                .plus(Cost.updating(parameters, firstMoment, secondMoment, compensation));
        account("anyPrecisionAdamW", parameters, cost, null, () -> to.anyPrecisionAdamW(settings, layout, decays,
                scalars, clip, parameters, computeCopy, gradients, firstMoment, secondMoment, compensation));
    }
}
