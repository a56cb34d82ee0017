package org.megabyte4j.cli;

import java.io.PrintWriter;
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

    /**
     * Says what went wrong while there is time: when this is closed, the process may be ending, and later nobody could.
     * Throws it where the process goes on, so that it is said by whoever catches it.
     *
     * @param e unchecked
     */
    void report(Throwable e, PrintWriter err) {
        if (!happened) {
            if (e instanceof Error error) {
                throw error;
            }
            throw (RuntimeException) e;
        }
        err.println("megabyte4j: " + Failures.sentence(e));
        err.flush();
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
