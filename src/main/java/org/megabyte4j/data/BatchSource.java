package org.megabyte4j.data;

/**
 * Batches as a pure function of the data, the options and the step: no state, so that a resumed run sees what an
 * uninterrupted one would have seen. May be used by several threads.
 */
public interface BatchSource {
    /** Rows of a batch. */
    int batch();

    /** Ids of a row. */
    int length();

    /** Ids that a step reads, padding included. */
    default long idsPerStep() {
        return (long) batch() * length();
    }

    /** Steps in which about every id of the data is seen once, at least 1. */
    long stepsPerEpoch();

    /**
     * Draws a batch.
     *
     * @param step number of the step, from 0
     * @param ids  {@code [batch, length]}, row-major
     */
    void fill(long step, int[] ids);
}
