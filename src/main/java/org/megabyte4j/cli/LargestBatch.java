package org.megabyte4j.cli;

import java.util.function.IntToLongFunction;
import org.megabyte4j.backend.OutOfMemoryException;

/** Says which batch would fit where one is too large. */
final class LargestBatch {
    private LargestBatch() {
    }

    /**
     * Takes memory, and makes a better sentence of a refusal.
     *
     * @param option     what the user makes smaller, such as {@code --batch}
     * @param asked      its value
     * @param plannedFor plans a value without taking memory, and tells the bytes
     * @param allocation takes the memory for {@code asked}
     */
    static void named(String option, int asked, IntToLongFunction plannedFor, Runnable allocation) {
        named(option, asked, "a smaller --seq-len or a smaller model", plannedFor, allocation);
    }

    /** @param otherwise what to use where not even one fits */
    static void named(String option, int asked, String otherwise, IntToLongFunction plannedFor, Runnable allocation) {
        try {
            allocation.run();
        } catch (OutOfMemoryException e) {
            if (e.free() < 0) {
                throw e;
            }
            int largest = asked < 2 ? 0 : find(asked, e.free(), plannedFor);
            throw e.withAdvice(largest == 0
                    ? "not even " + option + " 1 fits, use " + otherwise
                    : "the largest that fits is " + option + " " + largest);
        }
    }

    /**
     * The largest value below {@code tooLarge} that fits, 0 for none. Memory grows by about the same with each
     * sequence, so the first guess from two plans is hardly ever off by more than one.
     */
    static int find(int tooLarge, long free, IntToLongFunction plannedFor) {
        long least = plannedFor.applyAsLong(1);
        if (least > free) {
            return 0;
        }
        double each = (plannedFor.applyAsLong(tooLarge) - least) / (double) (tooLarge - 1);
        int low = 1;
        int high = tooLarge;
        int guess = (int) Math.clamp(1 + (free - least) / each, 1, tooLarge - 1);
        while (high - low > 1) {
            guess = Math.clamp(guess, low + 1, high - 1);
            if (plannedFor.applyAsLong(guess) <= free) {
                low = guess++;
            } else {
                high = guess--;
            }
        }
        return low;
    }
}
