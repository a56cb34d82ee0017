package org.megabyte4j.train;

/** Told what happens in a {@link TrainingRun}, on the thread that trains. */
public interface TrainingListener {
    /** A line of the metrics. */
    default void metric(Metric metric) {
    }

    /** A checkpoint has been written. */
    default void checkpoint(long step) {
    }

    /** Something unusual that could be resolved, as a sentence without a full stop. */
    default void notice(String sentence) {
    }
}
