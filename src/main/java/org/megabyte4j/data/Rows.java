package org.megabyte4j.data;

import java.util.Arrays;
import java.util.function.LongUnaryOperator;

/** Rows of one length from single stretches of a part, padded in front where a stretch ends too soon. */
record Rows(CorpusPart part, int length, int padId) {
    /** The row of {@code ids} that begins at {@code start} of a stretch. */
    void fill(int stretch, long start, int[] ids, int row) {
        int from = row * length;
        int count = (int) Math.min(length, part.stretchLength(stretch) - start);
        Arrays.fill(ids, from, from + length - count, padId);
        part.readStretch(stretch, start, ids, from + length - count, count);
    }

    /** Sums over the stretches of a number made from their length: before each stretch, then of all. */
    long[] runningSum(LongUnaryOperator ofLength) {
        long[] sums = new long[part.stretches() + 1];
        for (int i = 0; i < part.stretches(); i++) {
            sums[i + 1] = sums[i] + ofLength.applyAsLong(part.stretchLength(i));
        }
        return sums;
    }

    /** The stretch that holds an item, given the running sums of their items, each with at least one. */
    static int find(long[] sums, long item) {
        int found = Arrays.binarySearch(sums, item);
        return found >= 0 ? found : -found - 2;
    }
}
