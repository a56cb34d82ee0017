package org.megabyte4j.backend;

import java.util.Arrays;

/**
 * Tells how long pieces of work take on a device. The host enqueues them with a {@link #lap} before the first and
 * behind each, and asks for the times at the end.
 */
public interface Stopwatch extends AutoCloseable {
    /** Marks where the work enqueued so far ends. */
    void lap();

    /** Waits, and tells the seconds from each mark to the next: one less than there are marks. */
    double[] seconds();

    @Override
    void close();

    /** For a device whose work is done when it is enqueued: the host's clock. */
    static Stopwatch ofTheHost() {
        return new Stopwatch() {
            private long[] marks = new long[64];
            private int count;

            @Override
            public void lap() {
                if (count == marks.length) {
                    marks = Arrays.copyOf(marks, 2 * count);
                }
                marks[count++] = System.nanoTime();
            }

            @Override
            public double[] seconds() {
                double[] seconds = new double[Math.max(0, count - 1)];
                for (int i = 0; i < seconds.length; i++) {
                    seconds[i] = (marks[i + 1] - marks[i]) * 1e-9;
                }
                return seconds;
            }

            @Override
            public void close() {
            }
        };
    }
}
