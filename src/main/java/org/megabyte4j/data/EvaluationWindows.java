package org.megabyte4j.data;

import java.util.Arrays;

/**
 * A whole part of a corpus for evaluation, each id predicted once. Windows of one length go over each stretch of it, by
 * {@code stride} ids at a time; in each but the first the last {@code stride} ids are the targets, and so each of them
 * has at least {@code length - stride} ids before it. With a stride of the whole length these are blocks one behind the
 * other, which begin without context.
 *
 * <p>The last window of a stretch is padded <em>at its end</em>, where a causal model never sees the padding, so that
 * it changes no loss; windows that are missing in the last batch are all padding. Ids that are context alone are
 * padding among the targets. Loss ignores pad ids, so a batch counts with the number of targets that {@link #fill}
 * returns.
 *
 * @see <a href="https://huggingface.co/docs/transformers/perplexity">the same by Hugging Face</a>
 */
public final class EvaluationWindows {
    private final Rows rows;
    private final int batch;
    private final int stride;
    private final long[] windows;     // number of them before each stretch; then of all

    /** @throws DataException if there is no data */
    private EvaluationWindows(CorpusPart part, int batch, int length, int stride, int padId) {
        rows = new Rows(part.requireData(), length, padId);
        this.batch = batch;
        this.stride = stride;
        windows = rows.runningSum(size -> 1 + Math.ceilDiv(Math.max(0, size - length), stride));
    }

    /**
     * Windows that overlap.
     *
     * @param length ids in a window
     * @param stride from one window to the next; for a model with patches a multiple of their size, so that patches
     *               begin at the same ids in every window
     * @throws DataException if there is no data, or the stride is not from 1 to the length
     */
    public static EvaluationWindows sliding(CorpusPart part, int batch, int length, int stride, int padId) {
        if (stride < 1 || stride > length) {
            throw new DataException("a stride of " + stride + " is not possible with windows of " + length
                    + " bytes; use 1 to " + length);
        }
        return new EvaluationWindows(part, batch, length, stride, padId);
    }

    /** Windows that do not overlap. */
    public static EvaluationWindows blocks(CorpusPart part, int batch, int length, int padId) {
        return new EvaluationWindows(part, batch, length, length, padId);
    }

    public int batch() {
        return batch;
    }

    public int length() {
        return rows.length();
    }

    /** From one window to the next. */
    public int stride() {
        return stride;
    }

    /** Batches in which the whole part is seen once. */
    public long batches() {
        return Math.ceilDiv(windows[windows.length - 1], batch);
    }

    /**
     * Reads a batch.
     *
     * @param index   from 0 to {@code batches() - 1}
     * @param ids     {@code [batch, length]}, row-major
     * @param targets the same with padding for each id that is context alone; may be {@code ids} where windows do not
     *                overlap
     * @return targets that are not the pad id
     */
    public int fill(long index, int[] ids, int[] targets) {
        int length = rows.length();
        Arrays.fill(ids, rows.padId());
        for (int row = 0; row < batch; row++) {
            long window = index * batch + row;
            if (window < windows[windows.length - 1]) {
                int stretch = Rows.find(windows, window);
                long start = (window - windows[stretch]) * stride;
                int count = (int) Math.min(length, rows.part().stretchLength(stretch) - start);
                rows.part().readStretch(stretch, start, ids, row * length, count);
            }
        }
        if (targets != ids) {
            System.arraycopy(ids, 0, targets, 0, ids.length);
            for (int row = 0; row < batch; row++) {
                if (!isFirstOfItsStretch(index * batch + row)) {
                    Arrays.fill(targets, row * length, (row + 1) * length - stride, rows.padId());
                }
            }
        }
        return (int) Arrays.stream(targets).filter(id -> id != rows.padId()).count();
    }

    private boolean isFirstOfItsStretch(long window) {
        return window < windows[windows.length - 1] && windows[Rows.find(windows, window)] == window;
    }
}
