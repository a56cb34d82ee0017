package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;

/**
 * What the operations of the CPU backend do to one run of float32 elements. {@link PlainKernels} is the specification,
 * {@link VectorKernels} the same with the Vector API. Positions ({@code at}) and counts are in elements; segments start
 * at a multiple of four bytes.
 */
interface Kernels {
    /** For {@code info} and benchmark reports. */
    String name();

    void fill(MemorySegment x, long at, int count, float value);

    void scale(MemorySegment x, long at, int count, float factor);

    /** {@code to += from}. */
    void add(MemorySegment from, long fromAt, MemorySegment to, long at, int count);

    /** {@code to += factor * from}. */
    void addScaled(float factor, MemorySegment from, long fromAt, MemorySegment to, long at, int count);

    /**
     * A small matrix product: {@code out[r] = sum over i of weights[r, i] * rows[i]}, rows of {@code size} elements, plus
     * what {@code out} holds if {@code add}.
     */
    void product(Weights weights, MemorySegment rows, long rowAt, int rowStride, MemorySegment out, long at, int stride,
            int size, boolean add);

    /**
     * The left side of a {@link #product}, {@code count} by {@code inner}.
     *
     * @param at          its first element
     * @param rowStride   from one row to the next
     * @param innerStride from one element of a row to the next
     */
    record Weights(MemorySegment memory, long at, int count, int rowStride, int inner, int innerStride) { }

    /**
     * Softmax of each of some rows, which lie one behind the other, in place.
     *
     * @param lse gets each row's log-sum-exp
     */
    void softmaxRows(MemorySegment x, long at, int rows, int width, MemorySegment lse, long lseAt);

    /** {@code out = exp(x - shift)} of each of some rows with a shift of its own, in place. */
    void expRows(MemorySegment x, long at, int rows, int width, MemorySegment shifts, long shiftAt);

    /**
     * {@code out[column, row] = factor * from[row, column]}; strides are the distances of rows in {@code from}, and of
     * columns in {@code out}.
     */
    void transpose(float factor, MemorySegment from, long fromAt, int rows, int fromStride, int columns,
            MemorySegment out, long at, int stride);

    float dot(MemorySegment a, long aAt, MemorySegment b, long bAt, int count);

    /** As {@link #dot} with {@code b} in bf16: the same sum in the same order. */
    float dotBf16(MemorySegment a, long aAt, MemorySegment b, long bAt, int count);

    /** Elements of bf16 as float32. */
    void widen(MemorySegment from, long fromAt, MemorySegment to, long at, int count);

    float sum(MemorySegment x, long at, int count);

    float max(MemorySegment x, long at, int count);

    /** Sum of squares, added up in double precision. */
    double sumOfSquares(MemorySegment x, long at, int count);

    /** Sum of squared differences from {@code mean}. */
    float squaredDeviation(MemorySegment x, long at, int count, float mean);

    /** {@code out = (x - mean) * rstd * weight + bias}. */
    void normalize(MemorySegment x, long at, float mean, float rstd, MemorySegment weight, MemorySegment bias,
            MemorySegment out, long outAt, int count);

    /** The sum of {@code a * b * (x - mean)}. */
    float weightedDeviation(MemorySegment a, long aAt, MemorySegment b, long bAt, MemorySegment x, long at, int count,
            float mean);

    /** {@code sums += gradient * (x - mean) * rstd}: one row's part of the gradient of LayerNorm's weight. */
    void addNormalized(MemorySegment gradient, MemorySegment x, long at, float mean, float rstd, MemorySegment sums,
            int count);

    /**
     * One row of LayerNorm's gradient, {@code dX = (dOut * weight - meanGradient - normed * meanProduct) * rstd} with
     * {@code normed = (x - mean) * rstd}.
     */
    void normalizeBackward(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd, MemorySegment weight,
            float meanGradient, float meanProduct, MemorySegment dX, int count);

    /** As {@link #normalizeBackward}, plus {@code residual}, which may be {@code dX}. */
    void normalizeBackwardResidual(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd,
            MemorySegment weight, float meanGradient, float meanProduct, MemorySegment residual, MemorySegment dX,
            int count);

    /** {@code out = x * Phi(x)}. */
    void gelu(MemorySegment x, long at, MemorySegment out, long outAt, int count);

    /** {@code dX = dOut * gelu'(x)} and {@code out = gelu(x)}; in place where the caller wants. */
    void geluBackward(MemorySegment x, MemorySegment dOut, MemorySegment dX, MemorySegment out, long at, int count);

    /** {@code out = factor * exp(x - shift)}, for {@code x - shift} up to 88; in place where the caller wants. */
    void exp(MemorySegment x, long at, float shift, float factor, MemorySegment out, long outAt, int count);

    /** The sum of {@code exp(x - shift)}, x left as it is. */
    float sumExp(MemorySegment x, long at, float shift, int count);

    /** {@code x[i] += start + i * step}. */
    void addRamp(MemorySegment x, long at, int count, float start, float step);

    /** {@code dP = p * (dP - delta) * scale}. */
    void softmaxBackward(MemorySegment p, long pAt, MemorySegment dP, long at, int count, float delta, float scale);

    /** AdamW over elements of equal decay. */
    void adamW(MemorySegment p, MemorySegment g, MemorySegment m, MemorySegment v, long at, int count, AdamWStep step);

    /**
     * The numbers of one AdamW step.
     *
     * @param clip           factor of the gradients
     * @param keep           what decay leaves of a parameter, {@code 1 - learningRate * weightDecay}
     * @param firstShare     {@code 1 - beta1}
     * @param secondShare    {@code 1 - beta2}
     * @param rate           {@code learningRate / firstCorrection}
     * @param rootCorrection {@code sqrt(secondCorrection)}
     */
    record AdamWStep(float clip, float keep, float beta1, float firstShare, float beta2, float secondShare, float rate,
            float rootCorrection, float epsilon) { }

    /** The provider for this process: vectorised where the module jdk.incubator.vector is present. */
    static Kernels best() {
        return KernelsProvider.BEST;
    }
}
