package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;

/**
 * The tiles of {@code kernels/patch_attention/tuning.cuh}, where their reasons stand, as launches need them.
 *
 * @param threads     of a block
 * @param blocks      on a multiprocessor at a time
 * @param rows        that stay with a block: packed query rows, or in the backward of keys the keys
 * @param passing     rows that pass by in a stage
 * @param sharedBytes of a block
 */
record PatchAttentionTiles(int threads, int blocks, int rows, int passing, int sharedBytes) {
    /** The largest heads that there are kernels for. */
    static final int LARGEST_HEAD = 128;

    private static final int WARP = 32;
    private static final int BF16_BYTES = 2;
    private static final int FLOAT32_THREADS = 128;
    private static final int FLOAT32_BLOCKS = 2;
    private static final int FLOAT32_PASSING = 32;
    /** Floats of a row in shared memory beyond its own, against bank conflicts. */
    private static final int FLOAT32_PADDING = 4;

    /** Elements of a head that the kernels compute with: their number in the entry points' names. */
    static int padded(DType dtype, int headSize) {
        for (int size = dtype == DType.BF16 ? 16 : 32; size < LARGEST_HEAD; size *= 2) {
            if (headSize <= size) {
                return size;
            }
        }
        return LARGEST_HEAD;
    }

    /** Whether there is a second tile, of 8 warps, to choose from in forward. */
    static boolean hasWideForward(DType dtype, int d) {
        return dtype == DType.BF16 && d >= 64;
    }

    /** As {@link #hasWideForward} in the backward of keys. */
    static boolean hasWideBackwardKey(DType dtype, int d) {
        return dtype == DType.BF16 && d == 64;
    }

    static PatchAttentionTiles forward(DType dtype, int d, boolean wide) {
        if (dtype == DType.F32) {
            int rows = float32Rows(d);
            return float32(d, (rows + 2 * FLOAT32_PASSING) * (d + FLOAT32_PADDING)
                    + rows * (FLOAT32_PASSING + FLOAT32_PADDING));
        }
        RowTile tile = wide && hasWideForward(dtype, d) ? new RowTile(8, 1, 16, 64, d <= 64 ? 3 : 2)
                : d <= 64 ? new RowTile(4, 2, 32, 64, 3) : new RowTile(4, 2, 32, 32, 3);
        return tile.with(d, tile.rows(), 0);
    }

    static PatchAttentionTiles backwardQuery(DType dtype, int d) {
        if (dtype == DType.F32) {
            int rows = float32Rows(d);
            return float32(d, 2 * (rows + FLOAT32_PASSING) * (d + FLOAT32_PADDING)
                    + rows * (FLOAT32_PASSING + FLOAT32_PADDING));
        }
        RowTile tile = d <= 64 ? new RowTile(4, 2, 32, 64, 2) : new RowTile(8, 1, 16, 32, 2);
        return tile.with(d, 2 * tile.rows(), tile.rows() * Float.BYTES);
    }

    static PatchAttentionTiles backwardKey(DType dtype, int d, boolean wide) {
        if (dtype == DType.F32) {
            int rows = float32Rows(d);
            return float32(d, 2 * (rows + FLOAT32_PASSING) * (d + FLOAT32_PADDING)
                    + 2 * rows * (FLOAT32_PASSING + FLOAT32_PADDING));
        }
        RowTile tile = wide && hasWideBackwardKey(dtype, d) ? new RowTile(8, 1, 16, 64, 2)
                : d <= 64 ? new RowTile(4, 2, 32, 64, 2) : new RowTile(8, 1, 16, 32, 2);
        int statistics = 2 * tile.passing + 4;
        return tile.with(d, 2 * tile.rows(), tile.stages * statistics * Float.BYTES);
    }

    /** Of {@code tuning.cuh}: warps, blocks, rows of a warp, rows of a stage, stages. */
    private record RowTile(int warps, int blocks, int rowsOfWarp, int passing, int stages) {
        int rows() {
            return warps * rowsOfWarp;
        }

        /** @param kept rows in shared memory beside the stages, each of which has two tiles */
        PatchAttentionTiles with(int d, int kept, int moreBytes) {
            return new PatchAttentionTiles(WARP * warps, blocks, rows(), passing,
                    (kept + 2 * stages * passing) * d * BF16_BYTES + moreBytes);
        }
    }

    private static int float32Rows(int d) {
        return d <= 64 ? 64 : 32;
    }

    private static PatchAttentionTiles float32(int d, int floats) {
        return new PatchAttentionTiles(FLOAT32_THREADS, FLOAT32_BLOCKS, float32Rows(d), FLOAT32_PASSING,
                floats * Float.BYTES);
    }

    /**
     * Blocks for the query rows of a shape.
     *
     * @param group heads that lie side by side in a tile
     */
    long blocksOfQueries(AttentionShape shape, int group) {
        return Math.multiplyExact(Math.ceilDiv(Math.multiplyExact(shape.length(), (long) group), (long) rows),
                Math.multiplyExact(shape.batch(), (long) shape.heads() / group));
    }

    /** Blocks for the keys of a shape. */
    long blocksOfKeys(AttentionShape shape) {
        return Math.multiplyExact(Math.ceilDiv(shape.length(), (long) rows), pairs(shape));
    }

    /** Sequences times key/value heads. */
    static long pairs(AttentionShape shape) {
        return Math.multiplyExact(shape.batch(), (long) shape.keyValueHeads());
    }
}
