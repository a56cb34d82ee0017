package org.megabyte4j.backend;

/** As {@link Readback}, for a small I32 tensor. */
public interface IntReadback extends AutoCloseable {
    /** How many copies are kept; an older one is overwritten. */
    int KEPT = Readback.KEPT;

    /**
     * Enqueues a copy of the tensor as the work enqueued so far leaves it.
     *
     * @return its number, from 0 on
     */
    long enqueue();

    /**
     * The elements of a copy. Waits for that copy only.
     *
     * @param copy one of the last {@link #KEPT} that were enqueued
     * @param to   as long as the tensor
     * @throws IllegalArgumentException if the copy is not kept any more, or was not enqueued
     */
    void read(long copy, int[] to);

    /** Gives back what the device keeps for it. Closing twice is harmless. */
    @Override
    void close();
}
