package org.megabyte4j.backend;

import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * The vocabulary that the model speaks: what a backend must compute, forward and backward.
 *
 * <p>Rules that hold everywhere. Tensors are dense and row-major. Gradients of parameters are added to what is there;
 * gradients of activations replace what is there. Tensors must not overlap unless the method says so. Shapes are the
 * caller's promise, checked where a check costs nothing. Calls only enqueue work: a result is there after
 * {@link Backend#synchronize} or {@link Backend#read}. The same call on the same input gives the same bits.
 *
 * <p>An instance is made by {@link Backend#plan} for one program and used by one thread.
 */
public interface Ops {

    /** Sets every element; {@code x} of any dtype. */
    void fill(Tensor x, float value);

    /** Copies elements, converting between F32 and BF16 (round to nearest even) where the dtypes differ. */
    void copy(Tensor from, Tensor to);

    // ---- embeddings -------------------------------------------------------------------------------------------

    /**
     * {@code out[i] = table[seen(i)] + positions[i % T] + addend[i]}, where {@code seen(i)} is the id that position i
     * sees through {@code shift}, or {@code padId}.
     *
     * @param ids       I32 {@code [B, T]}, each within the table
     * @param table     {@code [V, D]}
     * @param positions {@code [>= T, D]}, or null for none
     * @param addend    {@code [B*T, D]}, may be {@code out} itself, or null for none
     * @param out       {@code [B*T, D]}
     */
    void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out);

    /**
     * Adds to {@code dTable[seen(i)]} and {@code dPositions[i % T]} (null for none) the rows of {@code dOut}. Sums run
     * in an order fixed by the ids.
     */
    void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions);

    // ---- linear layers ----------------------------------------------------------------------------------------

    /**
     * {@code out = x W^T + bias + addend}.
     *
     * @param x      {@code [rows, in]}
     * @param weight {@code [out, in]}; where {@link Backend#supports(org.megabyte4j.tensor.DType,
     *               org.megabyte4j.tensor.DType)} says so, of another dtype than the rest
     * @param bias   {@code [out]}, or null
     * @param addend {@code [rows, out]}, may be {@code out} itself, or null
     * @param out    {@code [rows, out]}
     */
    void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out);

    /**
     * {@code dX = dOut W + addend}.
     *
     * @param dOut   {@code [rows, out]}
     * @param addend {@code [rows, in]}, may be {@code dX} itself, or null
     * @param dX     {@code [rows, in]}
     */
    void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX);

    /**
     * {@code dWeight += dOut^T x} and {@code dBias += sum over rows of dOut}.
     *
     * @param dBias may be null
     */
    void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias);

    // ---- feed-forward -----------------------------------------------------------------------------------------

    /**
     * A Linear layer and its exact (erf) GELU: {@code preActivation = x W^T + bias},
     * {@code activated = gelu(preActivation)}.
     */
    void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated);

    /**
     * Backward of GELU, which also computes its forward again, so that only the pre-activation has to be kept:
     * {@code dX = dActivated * gelu'(preActivation)}, {@code activated = gelu(preActivation)}.
     *
     * @param dX        may be {@code dActivated} itself
     * @param activated may be {@code preActivation} itself
     */
    void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated);

    /**
     * A feed-forward layer at once, {@code out = x + contract(gelu(expand(norm(x))))}; only where {@link Fusion} says
     * so. With {@code x} all that backward needs are the statistics.
     *
     * @param x    {@code [rows, dim]}
     * @param out  {@code [rows, dim]}
     * @param mean F32 {@code [rows]}
     * @param rstd F32 {@code [rows]}, as {@link #layerNorm} gives them
     */
    default void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        throw new UnsupportedOperationException("feed-forward layers are computed step by step here");
    }

    /**
     * Backward of {@link #feedForward}, which computes what is between its matrices again. The gradients of vectors are
     * added to, those of the matrices are left to the caller: {@code factors} gets what they are products of.
     *
     * @param d         {@code [rows, dim]}: the gradient of the result, replaced by that of {@code x}
     * @param gradients of the parameters, F32
     */
    default void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        throw new UnsupportedOperationException("feed-forward layers are computed step by step here");
    }

    // ---- LayerNorm --------------------------------------------------------------------------------------------

    /** PyTorch's default epsilon, which the reference uses. */
    float LAYER_NORM_EPSILON = 1e-5f;

    /**
     * LayerNorm over the last axis (Ba et al. 2016, arXiv 1607.06450), biased variance,
     * epsilon {@link #LAYER_NORM_EPSILON}.
     *
     * @param x    {@code [rows, dim]}
     * @param mean F32 {@code [rows]}, kept for backward
     * @param rstd F32 {@code [rows]}, one over the standard deviation, kept for backward
     */
    void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd);

    /** LayerNorm's output once more from its kept statistics. */
    void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out);

    /**
     * Backward of LayerNorm and of the residual connection around it:
     * {@code dX = dResidual + (gradient through the norm)}; {@code dWeight} and {@code dBias} are added to.
     *
     * @param dResidual {@code [rows, dim]}, may be {@code dX} itself, or null for none
     */
    void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias);

    // ---- attention --------------------------------------------------------------------------------------------

    /**
     * Causal attention, {@code softmax(q k^T / sqrt(headSize) + bias) v} for each head.
     *
     * @param qkv {@code [rows, packedWidth]}, see {@link AttentionShape}
     * @param out {@code [rows, heads * headSize]}, heads side by side
     * @param logSumExp F32 {@code [batch, heads, length]}, nats; with {@code qkv} and {@code out} all that backward needs
     * @see <a href="https://arxiv.org/abs/2205.14135">Dao et al. 2022</a>
     */
    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp);

    /** Backward of {@link #causalAttention}; scores are computed again from {@code logSumExp}. */
    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp,
            Tensor dOut, Tensor dQkv);

    /**
     * An attention layer at once, {@code out = x + toOut(attention(toQkv(norm(x))))}; only where {@link Fusion} says
     * so.
     *
     * @param x        {@code [rows, dim]}
     * @param qkv      {@code [rows, packedWidth]}, kept for backward; null if there is none
     * @param attended {@code [rows, heads * headSize]}, the result of {@link #causalAttention}, as {@code qkv}
     * @param out      {@code [rows, dim]}
     * @param mean     F32 {@code [rows]}
     * @param rstd     F32 {@code [rows]}, as {@link #layerNorm} gives them
     */
    default void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        throw new UnsupportedOperationException("attention layers are computed step by step here");
    }

    /**
     * Backward of {@link #selfAttention}, which computes the probabilities again. The gradients of LayerNorm's vectors
     * are added to, those of the matrices are left to the caller: {@code factors} gets what they are products of.
     *
     * @param d         {@code [rows, dim]}: the gradient of the result, replaced by that of {@code x}
     * @param gradients of the parameters, F32
     */
    default void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        throw new UnsupportedOperationException("attention layers are computed step by step here");
    }

    /**
     * Attention with a cache, for generation: appends the keys and values of {@code length} new positions of each
     * sequence to its cache, then attends from the new positions to everything up to themselves.
     *
     * @param shape {@code length} is the number of new positions
     * @param qkv   {@code [batch * length, packedWidth]}
     * @param cache {@code [batch, capacity, keyValueWidth]}
     * @param past  I32 {@code [batch]}: how many positions each sequence's cache holds already; not changed.
     *              {@code past + length} must not exceed the capacity
     * @param out   {@code [batch * length, heads * headSize]}
     */
    void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past, Tensor out);

    // ---- generation -------------------------------------------------------------------------------------------

    /** A fault of {@link #sample}: every id that may be chosen has the logit -infinity. */
    int NOTHING_TO_CHOOSE = Integer.MIN_VALUE;

    /**
     * Chooses an id for each of B sequences from its logits, which are left as they are: repetition penalty,
     * temperature, top-k, top-p, in this order, then one draw. {@link Sampler} says it operation for operation, and the
     * same logits and settings give the same ids on every device. The draw is Philox4x32-10 of the seed, the sequence's
     * number and the position.
     *
     * <p>All that changes from call to call lies in tensors, so that a recorded program can be replayed, and the ids go
     * where the next step reads them.
     *
     * @param logits    F32 {@code [B, V]}
     * @param settings  I32 {@code [SamplingSettings.COUNT]}, {@link SamplingSettings}
     * @param allowed   I32 {@code [V]}: 0 for ids that must not be chosen
     * @param sequences I32 {@code [B]}: the sequence's number
     * @param positions I32 {@code [B]}: index of the id in its sequence
     * @param forced    I32 {@code [B]}: an id that is known already and taken as it is, whatever the logits are; or -1
     * @param seen      I32 {@code [B, ceil(V / 32)]}: bit {@code i % 32} of element {@code i / 32} says that the
     *                  sequence holds id i; a chosen id is added, a forced one is not
     * @param chosen    I32 {@code [B]}: the id; 0 where there is a fault
     * @param faults    I32 {@code [B]}: 0; or {@code i + 1} if the logit of id i is the first that is NaN or +infinity,
     *                  negative for +infinity; or {@link #NOTHING_TO_CHOOSE}
     */
    void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions, Tensor forced,
            Tensor seen, Tensor chosen, Tensor faults);

    /**
     * The local model over a whole patch of B sequences: for each of its P bytes in turn the embedding of the byte
     * before and what the global model says, all layers, the logits, and {@link #sample}, whose id the next byte sees.
     * The same as {@link #embed}, {@link #layerNorm}, {@link #linear}, {@link #cachedAttention}, {@link #linearGelu}
     * and {@link #sample} one after the other, up to the order of sums.
     *
     * <p>Only where {@link Backend#decodesPatches} says so.
     *
     * @param slices what the global model says about each byte, {@code [B * P, D]}
     * @param logits F32 {@code [P, B, V]}
     * @throws UnsupportedOperationException where the device has no such operation
     */
    default void decodePatch(LocalModel model, Tensor slices, PatchChoice choice, Tensor logits) {
        throw new UnsupportedOperationException("this device decodes byte by byte");
    }

    /**
     * Goes on to the next patch of each sequence, on the device: what this one's ids have become is what the next one
     * sees, its indices are one patch further, and none of its ids is known. A sequence whose patch is the last that
     * there is room for stays as it is.
     *
     * @param results      I32 {@code [P, 2, B]}: of each byte the ids, then the faults
     * @param last         index of the last patch that there is room for
     * @param seesPrevious whether the local model sees the byte before the patch; otherwise {@code previous} stays
     * @param input        replaced
     */
    void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input);

    // ---- loss -------------------------------------------------------------------------------------------------

    /** {@code count[0]} = how many of {@code ids} differ from {@code ignoredId}; {@code count} is I32 {@code [1]}. */
    void countTargets(Tensor ids, int ignoredId, Tensor count);

    /**
     * Softmax cross entropy in nats over rows of logits: {@code loss[0] += sum(-log p(target)) / count}, over the rows
     * whose target is not {@code ignoredId}; with {@code count} 0 the loss is 0 and so is every gradient.
     *
     * @param logits       {@code [rows, V]}
     * @param targets      I32 {@code [rows]}
     * @param count        I32 {@code [1]} of {@link #countTargets}, over the whole batch of which these rows are a part
     * @param loss         F32 {@code [1]}
     * @param dLogits      {@code [rows, V]}, may be {@code logits} itself; null for the loss alone
     * @param gradientScale factor of {@code dLogits}: 1, or one over the number of accumulated batches
     */
    void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss, Tensor dLogits,
            float gradientScale);

    // ---- optimisers, over the whole parameter arena ----------------------------------------------------------------

    /** {@code norm[0]} = the L2 norm of {@code x}, summed in double precision or better than float32; F32 {@code [1]}. */
    void norm(Tensor x, Tensor norm);

    /**
     * Clipping by global norm, as part of an optimiser's reading of the gradients: they are multiplied by
     * {@code min(1, maxNorm / (norm + 1e-6))}.
     *
     * @param norm    F32 {@code [1]}, or null for no clipping
     * @param maxNorm the largest norm left as it is
     */
    record Clip(Tensor norm, float maxNorm) {
        public static final Clip NONE = new Clip(null, Float.POSITIVE_INFINITY);
    }

    /**
     * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), in PyTorch's order: decay, moments, update.
     *
     * @param decays {@code decays[i]}: whether weight decay applies to entry i of {@code layout}
     * @param scalars F32 {@code [4]}, {@link StepScalars}
     * @param computeCopy BF16, mirrors {@code parameters} and gets the new ones rounded to nearest even; null for none
     */
    void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment);

    /** Constants of AdamW; in double precision, since {@code 1 - beta2} of a rounded beta2 is off by far more. */
    record AdamWSettings(double beta1, double beta2, double epsilon, double weightDecay) { }

    /**
     * Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) without momentum. Matrices keep the means of their squared
     * gradients by row and by column, everything else by element.
     *
     * @param computeCopy as in {@link #adamW}
     * @param state {@link #adafactorStateElements} float32 elements, zero before the first step. Entries follow each
     *              other without gaps: for a matrix its rows, then its columns; else its elements
     */
    void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state);

    /**
     * Constants of Adafactor.
     *
     * @param epsilon1       added to squared gradients
     * @param epsilon2       smallest parameter scale
     * @param clipThreshold  largest root mean square of an update
     * @param scaleParameter multiply the learning rate by the root mean square of the tensor
     * @param weightDecay    factor of the decoupled decay
     * @param dynamicWeightDecay decay by the square of the learning rate instead, as the reference does
     */
    record AdafactorSettings(float epsilon1, float epsilon2, float clipThreshold, boolean scaleParameter,
            float weightDecay, boolean dynamicWeightDecay) { }

    /** Size of Adafactor's state for a layout. */
    static long adafactorStateElements(ParameterLayout layout) {
        return layout.entries().stream()
                .mapToLong(e -> e.shape().length == 2 ? e.shape()[0] + e.shape()[1] : e.elements()).sum();
    }

    /**
     * AdamW whose state may be bf16, with optional Kahan summation of the parameter updates (PyTorch's
     * AnyPrecisionAdamW). The dtypes are those of the tensors: parameters and gradients F32 or BF16, the moments and
     * the compensation each F32 or BF16.
     *
     * @param computeCopy as in {@link #adamW}
     * @param compensation what rounding took from each parameter so far; null for plain summation
     */
    void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment,
            Tensor compensation);
}
