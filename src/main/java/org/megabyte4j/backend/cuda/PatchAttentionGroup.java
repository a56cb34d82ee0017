package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Which query heads share a tile of rows in patch attention. All heads of one key/value head together waste least at
 * the diagonal. But with ALiBi heads look back differently far, and a tile goes as far as the furthest of its heads;
 * over long sequences a head to a tile has by far the least to do. What is counted is tiles of keys, with scores as
 * large as {@link #EXPECTED_SCORE}; how far heads really look is found on the device.
 *
 * @param reachLimited whether it pays to find out how far heads look
 * @param heads        query heads of a tile
 */
record PatchAttentionGroup(boolean reachLimited, int heads) {
    /** How the group of a shape is chosen. */
    @FunctionalInterface
    interface Choice {
        PatchAttentionGroup of(AttentionShape shape, AttentionBias bias, PatchAttentionTiles tiles);
    }

    /** About the largest score of trained models, by Cauchy-Schwarz. */
    private static final double EXPECTED_SCORE = 16;
    /** Finding norms and reach is a pass over the queries and keys, and two more launches. */
    private static final double LEAST_GAIN = 0.9;

    /** The one with the fewest tiles. */
    static PatchAttentionGroup of(AttentionShape shape, AttentionBias bias, PatchAttentionTiles tiles) {
        int all = shape.heads() / shape.keyValueHeads();
        if (!bias.vanishesWithin(shape.length(), shape.heads())) {
            return new PatchAttentionGroup(false, all);
        }
        double most = LEAST_GAIN * tilesOfKeys(shape, AttentionBias.NONE, tiles, all);
        PatchAttentionGroup best = new PatchAttentionGroup(false, all);
        for (int heads = all; heads >= 1; heads--) {
            double count = all % heads == 0 ? tilesOfKeys(shape, bias, tiles, heads) : most;
            if (count < most) {
                best = new PatchAttentionGroup(true, heads);
                most = count;
            }
        }
        return best;
    }

    /** Of one sequence. */
    private static double tilesOfKeys(AttentionShape shape, AttentionBias bias, PatchAttentionTiles tiles, int group) {
        double count = 0;
        long tilesOfRows = Math.ceilDiv(shape.length() * group, (long) tiles.rows());
        for (int last = group - 1; last < shape.heads(); last += group) {
            // The last head of a group has the gentlest slope.
            long reach = bias.reach(last, shape.heads(), EXPECTED_SCORE, shape.length());
            for (long tile = 0; tile < tilesOfRows; tile++) {
                long first = tile * tiles.rows() / group;
                long end = Math.min(((tile + 1) * tiles.rows() - 1) / group, shape.length() - 1);
                count += end / tiles.passing() - Math.max(0, first - reach) / tiles.passing() + 1;
            }
        }
        return count;
    }
}
