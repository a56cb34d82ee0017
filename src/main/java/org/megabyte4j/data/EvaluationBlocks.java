package org.megabyte4j.data;

import java.util.Arrays;

/**
 * A whole part of a corpus, each id once: rows of one length, in order. The last row of a stretch is padded <em>at its
 * end</em>, where a causal model never sees the padding, so that it changes no loss; rows that are missing in the last
 * batch are all padding. Loss ignores pad ids, so a batch counts with the number of labels that {@link #fill} returns.
 */
public final class EvaluationBlocks {
    private final Rows rows;
    private final int batch;
    private final long[] blocks;     // number of rows before each stretch; then of all

    /** @throws DataException if there is no data */
    public EvaluationBlocks(CorpusPart part, int batch, int length, int padId) {
        rows = new Rows(part.requireData(), length, padId);
        this.batch = batch;
        blocks = rows.runningSum(size -> Math.ceilDiv(size, length));
    }

    public int batch() {
        return batch;
    }

    public int length() {
        return rows.length();
    }

    /** Batches in which the whole part is seen once. */
    public long batches() {
        return Math.ceilDiv(blocks[blocks.length - 1], batch);
    }

    /**
     * Reads a batch.
     *
     * @param index from 0 to {@code batches() - 1}
     * @param ids   {@code [batch, length]}, row-major
     * @return ids in it that are not the pad id
     */
    public int fill(long index, int[] ids) {
        int length = rows.length();
        Arrays.fill(ids, rows.padId());
        for (int row = 0; row < batch; row++) {
            long block = index * batch + row;
            if (block < blocks[blocks.length - 1]) {
                int stretch = Rows.find(blocks, block);
                long start = (block - blocks[stretch]) * length;
                int count = (int) Math.min(length, rows.part().stretchLength(stretch) - start);
                rows.part().readStretch(stretch, start, ids, row * length, count);
            }
        }
        return (int) Arrays.stream(ids).filter(id -> id != rows.padId()).count();
    }
}
