package org.megabyte4j.train;

import java.time.Duration;

/**
 * How a run goes about it. Nothing here changes what is learned, so a resumed run may choose anew.
 *
 * @param steps           stop after this many, those before a resume included
 * @param maxTime         stop after the step during which this time has passed; null for no limit
 * @param logEvery        steps from one line of the metrics to the next
 * @param checkpointEvery steps from one checkpoint to the next
 * @param keep            newest checkpoints that are kept
 * @param validateEvery   steps from one validation to the next; 0 for only at the end
 */
public record RunOptions(long steps, Duration maxTime, long logEvery, long checkpointEvery, int keep,
        long validateEvery) {
    /** @throws TrainException if a number is out of its range */
    public RunOptions {
        atLeast(1, "--steps", steps);
        atLeast(1, "--log-every", logEvery);
        atLeast(1, "--checkpoint-every", checkpointEvery);
        atLeast(1, "--keep", keep);
        atLeast(0, "--eval-every", validateEvery);
        if (maxTime != null && (maxTime.isNegative() || maxTime.isZero())) {
            throw new TrainException("--max-time " + maxTime + " is no time; use something like 90s, 2m or 8h");
        }
    }

    private static void atLeast(long least, String option, long value) {
        if (value < least) {
            throw new TrainException(option + " " + value + " is not possible; use at least " + least);
        }
    }
}
