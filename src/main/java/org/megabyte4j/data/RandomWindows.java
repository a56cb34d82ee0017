package org.megabyte4j.data;

/**
 * Windows that begin at any place, all equally likely, that lie within one stretch of the part. A stretch shorter than
 * a window has one window: all of it, padded in front.
 */
public final class RandomWindows implements BatchSource {
    private final Rows rows;
    private final int batch;
    private final long seed;
    private final long[] windows;    // number of windows before each stretch; then of all

    /** @throws DataException if there is no data */
    public RandomWindows(CorpusPart part, int batch, int length, int padId, long seed) {
        rows = new Rows(part.requireData(), length, padId);
        this.batch = batch;
        this.seed = seed;
        windows = rows.runningSum(size -> Math.max(1, size - length + 1));
    }

    @Override
    public int batch() {
        return batch;
    }

    @Override
    public int length() {
        return rows.length();
    }

    @Override
    public long stepsPerEpoch() {
        return Math.ceilDiv(rows.part().length(), idsPerStep());
    }

    @Override
    public void fill(long step, int[] ids) {
        for (int row = 0; row < batch; row++) {
            long window = StatelessRandom.below(windows[windows.length - 1], seed, step, row);
            int stretch = Rows.find(windows, window);
            rows.fill(stretch, window - windows[stretch], ids, row);
        }
    }
}
