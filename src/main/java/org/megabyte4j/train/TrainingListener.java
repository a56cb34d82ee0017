package org.megabyte4j.train;

/** Told what happens in a {@link TrainingRun}, on the thread that trains. */
public interface TrainingListener {
    /** A line of the metrics. */
    default void metric(Metric metric) {
    }

    /**
     * A step is on its way, on a device that works while it is called; not heard of elsewhere.
     *
     * @param step counted from 1
     * @param done share of its work, up to 1
     */
    default void progress(long step, double done) {
    }

    /** A checkpoint has been written. */
    default void checkpoint(long step) {
    }

    /** Something unusual that could be resolved, as a sentence without a full stop. */
    default void notice(String sentence) {
    }
}
