package org.megabyte4j.cli;

import java.util.concurrent.CountDownLatch;

/**
 * Lets a run come to a good end at Ctrl-C or SIGTERM: while one is open, the process ends only after {@link #close},
 * with the exit code that the signal has.
 */
final class Interruption implements AutoCloseable {
    private final CountDownLatch closed = new CountDownLatch(1);
    private final Thread hook;
    private volatile boolean happened;

    /** @param stop called once, on a thread of its own, when the process is asked to end */
    Interruption(Runnable stop) {
        hook = new Thread(() -> {
            happened = true;
            stop.run();
            try {
                closed.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }, "stop at a signal");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Whether the process has been asked to end. */
    boolean hasHappened() {
        return happened;
    }

    @Override
    public void close() {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // the process is ending already; the hook waits for the latch
        }
        closed.countDown();
    }
}
