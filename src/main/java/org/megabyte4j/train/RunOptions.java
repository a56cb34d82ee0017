package org.megabyte4j.train;

import java.time.Duration;

/**
 * How far a run goes, and what it writes down on the way.
 *
 * @param steps       stop after this many, those before a resume included
 * @param maxTime     stop after the step during which this time has passed; null for no limit
 * @param bookkeeping what is written down
 */
public record RunOptions(long steps, Duration maxTime, Bookkeeping bookkeeping) {
    /** @throws TrainException if there is no step or no time */
    public RunOptions {
        if (steps < 1) {
            throw new TrainException("--steps " + steps + " is not possible; use at least 1");
        }
        if (maxTime != null && (maxTime.isNegative() || maxTime.isZero())) {
            throw new TrainException("--max-time is no time at all; use something like 90s, 2m or 8h");
        }
    }
}
