package org.megabyte4j.backend;

/**
 * Scalars on their way to the host. A loop enqueues a copy behind each step and looks at it when it has enqueued the
 * next step, so that the device always has work:
 *
 * <pre>{@code
 * long copy = readback.enqueue();
 * enqueueNextStep();
 * float loss = readback.value(copy, 0);
 * }</pre>
 */
public interface Readback extends AutoCloseable {
    /** How many copies are kept; an older one is overwritten. */
    int KEPT = 4;

    /**
     * Enqueues a copy of the scalars as the work enqueued so far leaves them.
     *
     * @return its number, from 0 on
     */
    long enqueue();

    /**
     * A scalar of a copy. Waits for that copy only.
     *
     * @param copy   one of the last {@link #KEPT} that were enqueued
     * @param scalar which, in the order in which they were given
     * @throws IllegalArgumentException if the copy is not kept any more, or was not enqueued
     */
    float value(long copy, int scalar);

    /** Whether {@link #value} has nothing to wait for. */
    boolean isReady(long copy);

    /** Gives back what the device keeps for it. Closing twice is harmless. */
    @Override
    void close();

    /** Refuses a copy that is not kept. For backends. */
    static void require(long copy, long enqueued) {
        if (copy < 0 || copy >= enqueued || copy < enqueued - KEPT) {
            throw new IllegalArgumentException("copy " + copy + " is not kept; " + enqueued
                    + " were enqueued, and the last " + KEPT + " are kept");
        }
    }
}
