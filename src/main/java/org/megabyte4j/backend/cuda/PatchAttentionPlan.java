package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;

/**
 * How the kernels of {@code patch_attention.cu} are launched for one shape: arithmetic alone, so that it can be known
 * for sizes that no machine here holds.
 *
 * @param padded        elements that a head is computed with
 * @param forward       tiles
 * @param backwardQuery tiles
 * @param backwardKey   tiles
 * @param pairs         sequences times key/value heads
 * @param reachLimited  whether heads go back only as far as they look ({@link AttentionBias#reach})
 * @param group         query heads that share a tile of rows, see {@link PatchAttentionGroup}
 * @param chunk         stages of query rows that a block of {@code backwardKey} takes
 * @param sharing       blocks that share the rows after a tile of keys; 1 for none
 * @param partialsAt    where in the workspace, in floats, the sums of blocks that share begin; before them is delta
 * @param reachAt       where in backward's workspace, in floats, the heads' reach lies, and behind it what that is
 *                      found from
 * @param forwardWorkspaceBytes  for the heads' reach alone
 * @param backwardWorkspaceBytes for all
 */
record PatchAttentionPlan(int padded, PatchAttentionTiles forward, PatchAttentionTiles backwardQuery,
        PatchAttentionTiles backwardKey, int pairs, boolean reachLimited, int group, long chunk, int sharing,
        long partialsAt, long reachAt, long forwardWorkspaceBytes, long backwardWorkspaceBytes) {

    /** Rows of a block that looks for the largest norms, {@code reach.cuh}. */
    static final int REACH_ROWS = 256;

    /** Positions are ints in the kernels, with room for a tile beyond the last. */
    private static final long LONGEST = Integer.MAX_VALUE - 4096;
    private static final long MOST_BLOCKS = Integer.MAX_VALUE;
    /** A block that shares a tile of keys has at least so many stages: it also writes and has its sums read again. */
    private static final long LEAST_CHUNK = 4;
    private static final long MOST_SHARING = 64;
    private static final long ALIGNMENT = 64;

    /**
     * The plan for a shape.
     *
     * @throws ShapeException if there is no kernel for it; with all reasons
     */
    static PatchAttentionPlan of(AttentionShape shape, AttentionBias bias, DType dtype, int multiprocessors) {
        return of(shape, bias, dtype, multiprocessors, PatchAttentionGroup::of, false);
    }

    /**
     * As above, with another choice of which heads share a tile.
     *
     * @param wide with the tiles of 8 warps, where there are two to choose from
     */
    static PatchAttentionPlan of(AttentionShape shape, AttentionBias bias, DType dtype, int multiprocessors,
            PatchAttentionGroup.Choice choice, boolean wide) {
        int d = PatchAttentionTiles.padded(dtype, shape.headSize());
        PatchAttentionTiles forward = PatchAttentionTiles.forward(dtype, d, wide);
        PatchAttentionTiles query = PatchAttentionTiles.backwardQuery(dtype, d);
        PatchAttentionTiles key = PatchAttentionTiles.backwardKey(dtype, d, wide);
        require(shape, Math.min(forward.rows(), Math.min(query.rows(), key.rows())));
        PatchAttentionGroup group = choice.of(shape, bias, forward);
        long chunk = chunk(shape, key, key.blocks() * multiprocessors);
        int sharing = (int) Math.ceilDiv(stages(shape, key, 0), chunk);
        long delta = shape.rows() * shape.heads();
        long partialsAt = Math.ceilDiv(delta, ALIGNMENT) * ALIGNMENT;
        long partials = sharing == 1 ? 0 : sharing * shape.rows() * shape.keyValueWidth();
        long reach = group.reachLimited() ? reachElements(shape) : 0;
        return new PatchAttentionPlan(d, forward, query, key, (int) PatchAttentionTiles.pairs(shape),
                group.reachLimited(), group.heads(), chunk, sharing, partialsAt, partialsAt + partials,
                reach * Float.BYTES, (partialsAt + partials + reach) * Float.BYTES);
    }

    /** Every head's reach, and behind it the largest norms of each block of rows. */
    private static long reachElements(AttentionShape shape) {
        return shape.batch() * (shape.heads() + normBlocks(shape) * (shape.heads() + shape.keyValueHeads()));
    }

    /** Blocks of rows of a sequence. */
    private static long normBlocks(AttentionShape shape) {
        return Math.ceilDiv(shape.length(), (long) REACH_ROWS);
    }

    /** Blocks of rows of all sequences. */
    static long blocksOfNorms(AttentionShape shape) {
        return shape.batch() * normBlocks(shape);
    }

    /** Sequences times groups of query heads. */
    int groups(AttentionShape shape) {
        return Math.toIntExact(shape.batch() * (shape.heads() / group));
    }

    /** Groups of query heads that share a key/value head. */
    int split(AttentionShape shape) {
        return shape.heads() / shape.keyValueHeads() / group;
    }

    private static void require(AttentionShape shape, int leastRows) {
        List<String> reasons = new ArrayList<>();
        if (shape.headSize() > PatchAttentionTiles.LARGEST_HEAD) {
            reasons.add("heads have at most " + PatchAttentionTiles.LARGEST_HEAD + " elements there");
        }
        if (shape.length() > LONGEST) {
            reasons.add("sequences have at most " + LONGEST + " positions there");
        }
        double blocks = Math.ceil((double) shape.length() / leastRows) * shape.batch() * shape.heads();
        if (blocks > MOST_BLOCKS) {
            reasons.add("that are more blocks than one launch has");
        }
        if (!reasons.isEmpty()) {
            throw new ShapeException("attention over batch " + shape.batch() + ", length " + shape.length() + ", "
                    + shape.heads() + " heads of size " + shape.headSize() + " is not possible on CUDA: "
                    + String.join("; ", reasons) + ". Choose more heads or a smaller batch, or use --device cpu");
        }
    }

    /** Stages of query rows that pass by the n-th tile of keys. */
    private static long stages(AttentionShape shape, PatchAttentionTiles tiles, long tile) {
        long after = shape.length() - tile * tiles.rows();
        return Math.ceilDiv(after, (long) tiles.passing()) * (shape.heads() / shape.keyValueHeads());
    }

    /**
     * Stages per block. Many tiles of keys, started longest first, keep a GPU busy by themselves. Of few tiles, the
     * longest would be all that runs in the end; their rows are shared so that the blocks have the same work and run
     * all at once.
     */
    private static long chunk(AttentionShape shape, PatchAttentionTiles tiles, int slots) {
        long all = stages(shape, tiles, 0);
        long pairs = PatchAttentionTiles.pairs(shape);
        long count = Math.ceilDiv(shape.length(), (long) tiles.rows());
        if (count * pairs >= 2L * slots) {
            return all;
        }
        long work = 0;
        for (long tile = 0; tile < count; tile++) {
            work += stages(shape, tiles, tile) * pairs;
        }
        long chunk = Math.max(Math.max(LEAST_CHUNK, Math.ceilDiv(all, MOST_SHARING)), Math.ceilDiv(work, (long) slots));
        while (chunk < all && blocks(shape, tiles, count, chunk) * pairs > slots) {
            chunk++;
        }
        return Math.min(chunk, all);
    }

    private static long blocks(AttentionShape shape, PatchAttentionTiles tiles, long count, long chunk) {
        long blocks = 0;
        for (long tile = 0; tile < count; tile++) {
            blocks += Math.ceilDiv(stages(shape, tiles, tile), chunk);
        }
        return blocks;
    }
}
