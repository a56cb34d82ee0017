package org.megabyte4j.data;

/**
 * The reference's "group into fixed lengths, pad in front": each stretch of the part is cut into pieces of the row's
 * length, and the last, short piece padded in front. Every piece comes once per epoch, in an order that a
 * {@link Permutation} of the seed and the epoch gives; a batch may hold the end of one epoch and the start of the next.
 */
public final class ShuffledChunks implements BatchSource {
    private final Rows rows;
    private final int batch;
    private final long seed;
    private final long[] chunks;     // number of pieces before each stretch; then of all

    /** @throws DataException if there is no data */
    public ShuffledChunks(CorpusPart part, int batch, int length, int padId, long seed) {
        rows = new Rows(part.requireData(), length, padId);
        this.batch = batch;
        this.seed = seed;
        chunks = rows.runningSum(size -> Math.ceilDiv(size, length));
    }

    @Override
    public int batch() {
        return batch;
    }

    @Override
    public int length() {
        return rows.length();
    }

    /** Pieces of an epoch. */
    public long chunksPerEpoch() {
        return chunks[chunks.length - 1];
    }

    @Override
    public long stepsPerEpoch() {
        return Math.ceilDiv(chunksPerEpoch(), batch);
    }

    @Override
    public void fill(long step, int[] ids) {
        for (int row = 0; row < batch; row++) {
            long turn = Math.addExact(Math.multiplyExact(step, batch), row);
            var order = new Permutation(chunksPerEpoch(), StatelessRandom.hash(seed, turn / chunksPerEpoch(), 0));
            long chunk = order.at(turn % chunksPerEpoch());
            int stretch = Rows.find(chunks, chunk);
            rows.fill(stretch, (chunk - chunks[stretch]) * length(), ids, row);
        }
    }
}
