package org.megabyte4j.backend;

/** Work that {@link Backend#record} has made repeatable; each run enqueues it once. */
public interface Recording extends Runnable, AutoCloseable {
    /** The work itself, for a backend that has nothing to gain by recording. */
    static Recording of(Runnable work) {
        return new Recording() {
            @Override
            public void run() {
                work.run();
            }

            @Override
            public void close() {
            }
        };
    }

    /** Gives back what the device keeps for it. Closing twice is harmless. */
    @Override
    void close();
}
