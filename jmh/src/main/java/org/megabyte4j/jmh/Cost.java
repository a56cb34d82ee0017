package org.megabyte4j.jmh;

import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;

/**
 * What an operation has to do at least, by its mathematics: bytes between memory and chip with each operand moved once,
 * and floating-point operations (a multiply-add is two).
 */
record Cost(long bytes, double flops) {
    /**
     * A product of {@code [rows, in]} and {@code [out, in]}.
     *
     * @param besides elements of the result's type that are read or written besides: bias, addend, a second result
     */
    static Cost product(long rows, long in, long out, long besides, DType dtype) {
        return new Cost(dtype.bytes() * (rows * in + in * out + rows * out + besides), 2.0 * rows * in * out);
    }

    /** Two activations are read, and a float32 gradient {@code [out, in]} (and {@code [out]}) read and written. */
    static Cost weightGradient(long rows, long in, long out, DType dtype) {
        return new Cost(dtype.bytes() * rows * (in + out) + 8 * (in * out + out), 2.0 * rows * in * out);
    }

    /** Scores that the causal mask leaves, all heads. */
    private static double scores(AttentionShape shape) {
        return (double) shape.batch() * shape.heads() * shape.length() * (shape.length() + 1) / 2;
    }

    /** qkv is read, the result and its log-sum-exp are written; two products of 2 headSize for each score. */
    static Cost attention(AttentionShape shape, DType dtype) {
        long elements = shape.packedWidth() + (long) shape.width();
        return new Cost(shape.rows() * (dtype.bytes() * elements + 4L * shape.heads()),
                4.0 * shape.headSize() * scores(shape));
    }

    /**
     * qkv, the result, its log-sum-exp and its gradient are read, the gradient of qkv is written; five products for
     * each score. Kernels that compute scores twice do more, which does not count.
     */
    static Cost attentionBackward(AttentionShape shape, DType dtype) {
        return new Cost(shape.rows() * (dtype.bytes() * 2 * (shape.packedWidth() + (long) shape.width())
                + 4L * shape.heads()), 10.0 * shape.headSize() * scores(shape));
    }

    /** The cache up to {@code past} and the new qkv are read, new keys, values and the result are written. */
    static Cost cachedAttention(AttentionShape shape, long past, DType dtype) {
        long elements = shape.batch() * past * shape.keyValueWidth()
                + shape.rows() * (shape.packedWidth() + shape.keyValueWidth() + (long) shape.width());
        double seen = shape.length() * (past + (shape.length() + 1) / 2.0);
        return new Cost(dtype.bytes() * elements, 4.0 * shape.headSize() * shape.heads() * shape.batch() * seen);
    }

    /** So many bytes and operations for each element. */
    static Cost each(long elements, double bytes, double flops) {
        return new Cost(Math.round(elements * bytes), elements * flops);
    }
}
