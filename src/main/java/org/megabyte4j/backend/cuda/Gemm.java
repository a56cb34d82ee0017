package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/**
 * A library's matrix products on one GPU, with float32 accumulation; those of F32 operands round nothing to TF32. The
 * same product gives the same bits each time. Closed with the context that it was opened for.
 */
interface Gemm extends AutoCloseable {
    /** The library with its version, for {@code info} and reports. */
    String description();

    /** How much workspace every product is given, a number that depends on the GPU alone. */
    long workspaceBytes();

    /**
     * Describes a product to the library.
     *
     * @throws org.megabyte4j.MegabyteException if the library does not offer it
     */
    Prepared prepare(GemmShape shape);

    /**
     * Measures how those products are computed fastest for which that is open still. It takes memory for that and gives
     * it back, so it is done before a program's own memory is taken, and not for a program that is only planned.
     */
    void decide();

    @Override
    void close();

    /** A product whose descriptors and algorithm are there already. */
    interface Prepared {
        /**
         * Enqueues {@code d = a b + c + bias}. Makes no garbage, allocates nothing, and can be captured.
         *
         * @param c         may be {@code d} itself; null if the shape has no addend
         * @param bias      null if the shape has no bias
         * @param workspace at least {@link Gemm#workspaceBytes}, for this stream alone
         */
        void run(Tensor a, Tensor b, Tensor c, Tensor d, Tensor bias, Tensor workspace);
    }
}
