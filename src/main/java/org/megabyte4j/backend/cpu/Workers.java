package org.megabyte4j.backend.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * The threads of a CPU backend: the caller and daemons that wait for it. Work is split by index, so what each thread
 * does depends on the number of threads alone. Between two tasks of one step the daemons spin, because a step is
 * hundreds of tasks; when nothing comes they sleep.
 */
final class Workers implements AutoCloseable {
    /** One thread's share of a task. */
    @FunctionalInterface
    interface Task {
        void run(int thread, int threads);
    }

    /** A contiguous range of a task's items. */
    @FunctionalInterface
    interface RangeTask {
        void run(long from, long to);
    }

    /** Small enough for an int, and for the compiler's liking of loops over one. */
    static final int LARGEST_BLOCK = 1 << 20;
    private static final int SPINS = 20_000;

    private final Thread[] daemons;
    private final AtomicInteger running = new AtomicInteger();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private volatile Task task;
    private volatile int generation;
    private volatile boolean closed;

    Workers(int threads) {
        daemons = new Thread[threads - 1];
        for (int i = 0; i < daemons.length; i++) {
            int index = i + 1;
            daemons[i] = Thread.ofPlatform().daemon().name("megabyte4j-cpu-" + index).start(() -> serve(index));
        }
    }

    int threads() {
        return daemons.length + 1;
    }

    /**
     * Runs a task on every thread and waits for all of them. What one of them throws is thrown here.
     *
     * @throws IllegalStateException if the workers are closed
     */
    void run(Task work) {
        checkOpen();
        if (daemons.length == 0) {
            work.run(0, 1);
            return;
        }
        task = work;
        running.set(daemons.length);
        generation++;
        for (Thread daemon : daemons) {
            LockSupport.unpark(daemon);
        }
        try {
            work.run(0, threads());
        } catch (Throwable e) {
            failure.compareAndSet(null, e);
        }
        for (int spins = 0; running.get() > 0; spins++) {
            if (spins < SPINS) {
                Thread.onSpinWait();
            } else {
                Thread.yield();
            }
        }
        task = null;
        Throwable thrown = failure.getAndSet(null);
        if (thrown instanceof Error error) {
            throw error;
        }
        if (thrown instanceof RuntimeException exception) {
            throw exception;
        }
    }

    /**
     * Splits {@code items} into one contiguous range for each thread, which works through it in blocks of at most
     * {@link #LARGEST_BLOCK} items.
     *
     * @param grain fewer items than this are not worth a thread
     */
    void forRange(long items, long grain, RangeTask work) {
        checkOpen();
        long parts = Math.min(threads(), items / Math.max(1, grain));
        if (parts <= 1) {
            inBlocks(0, items, work);
            return;
        }
        run((thread, threads) -> {
            if (thread < parts) {
                inBlocks(border(items, thread, parts), border(items, thread + 1, parts), work);
            }
        });
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("the CPU backend is closed");
        }
    }

    private static void inBlocks(long from, long to, RangeTask work) {
        for (long start = from; start < to; start += LARGEST_BLOCK) {
            work.run(start, Math.min(to, start + LARGEST_BLOCK));
        }
    }

    /** Borders lie at multiples of 16 where there is room: whole vectors, whole cache lines. */
    private static long border(long items, long part, long parts) {
        if (part == parts) {
            return items;
        }
        long border = items * part / parts;
        return items / parts >= 64 ? border & -16 : border;
    }

    private void serve(int index) {
        int seen = 0;
        while (true) {
            for (int spins = 0; generation == seen && !closed; spins++) {
                if (spins < SPINS) {
                    Thread.onSpinWait();
                } else {
                    LockSupport.park(this);
                }
            }
            if (closed) {
                return;
            }
            seen++;
            try {
                task.run(index, threads());
            } catch (Throwable e) {
                failure.compareAndSet(null, e);
            }
            running.decrementAndGet();
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Thread daemon : daemons) {
            LockSupport.unpark(daemon);
        }
        for (Thread daemon : daemons) {
            try {
                daemon.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }
}
