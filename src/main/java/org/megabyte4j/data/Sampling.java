package org.megabyte4j.data;

/** How batches are drawn from a part of a corpus. */
public enum Sampling {
    /** Windows that begin anywhere: {@link RandomWindows}. */
    RANDOM,
    /** Fixed pieces, each once per epoch, in an order that changes with the epoch: {@link ShuffledChunks}. */
    CHUNKS,
    /** From the start, row by row: {@link SequentialRows}. */
    SEQUENTIAL;

    /**
     * @param part   the data, not empty
     * @param batch  rows
     * @param length ids of a row
     * @param padId  what fills rows for which there is not enough data
     * @param seed   of the order; {@link #SEQUENTIAL} has none
     * @throws DataException if there is no data
     */
    public BatchSource source(CorpusPart part, int batch, int length, int padId, long seed) {
        return switch (this) {
            case RANDOM -> new RandomWindows(part, batch, length, padId, seed);
            case CHUNKS -> new ShuffledChunks(part, batch, length, padId, seed);
            case SEQUENTIAL -> new SequentialRows(part, batch, length);
        };
    }
}
