package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * What a run writes down, and how often. Nothing of it changes what is learned, so a resumed run may choose anew.
 *
 * @param logEvery        steps from one line of the metrics to the next
 * @param checkpointEvery steps from one checkpoint to the next
 * @param keep            newest checkpoints that are kept
 * @param validateEvery   steps from one validation to the next; 0 for only at the end
 * @param validationBytes about how many bytes to validate on
 */
public record Bookkeeping(
        @JsonProperty("log_every") long logEvery,
        @JsonProperty("checkpoint_every") long checkpointEvery,
        @JsonProperty("keep") int keep,
        @JsonProperty("eval_every") long validateEvery,
        @JsonProperty("eval_bytes") long validationBytes) {
    /** @throws TrainException if a number is out of its range */
    public Bookkeeping {
        atLeast(1, "--log-every", logEvery);
        atLeast(1, "--checkpoint-every", checkpointEvery);
        atLeast(1, "--keep", keep);
        atLeast(0, "--eval-every", validateEvery);
        atLeast(1, "--eval-bytes", validationBytes);
    }

    private static void atLeast(long least, String option, long value) {
        if (value < least) {
            throw new TrainException(option + " " + value + " is not possible; use at least " + least);
        }
    }
}
