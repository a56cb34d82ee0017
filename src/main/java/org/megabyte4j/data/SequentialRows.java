package org.megabyte4j.data;

/**
 * Step by step the next {@code batch * length} ids of the part from its start, row by row; at its end it goes on from
 * the start. Needs no padding, and no seed.
 */
public final class SequentialRows implements BatchSource {
    private final CorpusPart part;
    private final int batch;
    private final int length;

    /** @throws DataException if there is no data */
    public SequentialRows(CorpusPart part, int batch, int length) {
        this.part = part.requireData();
        this.batch = batch;
        this.length = length;
    }

    @Override
    public int batch() {
        return batch;
    }

    @Override
    public int length() {
        return length;
    }

    @Override
    public long stepsPerEpoch() {
        return Math.ceilDiv(part.length(), idsPerStep());
    }

    @Override
    public void fill(long step, int[] ids) {
        long position = Math.floorMod(Math.multiplyExact(step, idsPerStep()), part.length());
        int count = Math.multiplyExact(batch, length);
        for (int done = 0; done < count; ) {
            int now = (int) Math.min(count - done, part.length() - position);
            part.read(position, ids, done, now);
            done += now;
            position = 0;
        }
    }
}
