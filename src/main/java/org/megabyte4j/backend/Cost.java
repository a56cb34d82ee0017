package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * What an operation has to do at least, by its mathematics.
 *
 * @param bytes between memory and chip, each operand moved once
 * @param flops of matrix products and attention, a multiply-add being two; element by element arithmetic does not
 *              count, since moving the elements takes longer everywhere
 */
public record Cost(long bytes, long flops) {
    /** Nothing. */
    public static final Cost NONE = new Cost(0, 0);

    /** Both together. */
    public Cost plus(Cost other) {
        return new Cost(Math.addExact(bytes, other.bytes), Math.addExact(flops, other.flops));
    }

    /** Reads or writes tensors, null for none. */
    static Cost moving(Tensor... tensors) {
        long bytes = 0;
        for (Tensor tensor : tensors) {
            bytes += tensor == null ? 0 : tensor.bytes();
        }
        return new Cost(bytes, 0);
    }

    /** Reads tensors and writes them back: gradients that are added to. */
    static Cost updating(Tensor... tensors) {
        return new Cost(2 * moving(tensors).bytes, 0);
    }

    /** A product of {@code [rows, in]} and a matrix of {@code weights} elements. */
    static Cost product(long rows, long weights) {
        return new Cost(0, 2 * rows * weights);
    }

    /** So many products of a query or key with each other for each pair of positions that the causal mask leaves. */
    static Cost scores(AttentionShape shape, int products) {
        long pairs = shape.batch() * (shape.length() * (shape.length() + 1) / 2);
        return new Cost(0, 2L * products * shape.width() * pairs);
    }
}
