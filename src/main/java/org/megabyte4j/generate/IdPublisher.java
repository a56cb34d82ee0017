package org.megabyte4j.generate;

import java.util.Objects;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A {@link Generation} for a subscriber, by the rules of Reactive Streams. Nothing is computed ahead of demand, so
 * nothing has to be kept for a slow subscriber.
 */
final class IdPublisher implements Flow.Publisher<GeneratedId> {
    private final Generation generation;
    private final Executor executor;
    private final AtomicBoolean taken = new AtomicBoolean();

    IdPublisher(Generation generation, Executor executor) {
        this.generation = Objects.requireNonNull(generation);
        this.executor = Objects.requireNonNull(executor);
    }

    @Override
    public void subscribe(Flow.Subscriber<? super GeneratedId> subscriber) {
        Objects.requireNonNull(subscriber);
        if (taken.compareAndSet(false, true)) {
            new Subscription(subscriber).signal();
        } else {
            subscriber.onSubscribe(new Nothing());
            subscriber.onError(new IllegalStateException("a generation has one subscriber; it has one already"));
        }
    }

    /** That of a subscriber who came too late. */
    private static final class Nothing implements Flow.Subscription {
        @Override
        public void request(long n) {
        }

        @Override
        public void cancel() {
        }
    }

    /** Its task runs while there is something to say, and not at all while nothing is wanted. */
    private final class Subscription implements Flow.Subscription, Runnable {
        private final Flow.Subscriber<? super GeneratedId> subscriber;
        private final AtomicLong wanted = new AtomicLong();
        private final AtomicInteger signals = new AtomicInteger();    // since the task began; 0 if none runs
        private volatile boolean cancelled;
        private volatile boolean refused;
        private boolean greeted;
        private boolean over;

        Subscription(Flow.Subscriber<? super GeneratedId> subscriber) {
            this.subscriber = subscriber;
        }

        @Override
        public void request(long n) {
            if (n < 1) {
                refused = true;
            } else {
                wanted.accumulateAndGet(n, (a, b) -> a + b < 0 ? Long.MAX_VALUE : a + b);
            }
            signal();
        }

        @Override
        public void cancel() {
            cancelled = true;
            generation.cancel();
        }

        /** Sees to it that the task looks at what has changed; at most one runs. */
        private void signal() {
            if (signals.getAndIncrement() == 0) {
                try {
                    executor.execute(this);
                } catch (RejectedExecutionException e) {
                    greet();
                    fail(e);
                }
            }
        }

        @Override
        public void run() {
            int seen = signals.get();
            do {
                greet();
                publish();
                seen = signals.addAndGet(-seen);
            } while (seen != 0);
        }

        private void greet() {
            if (!greeted) {
                greeted = true;
                subscriber.onSubscribe(this);
            }
        }

        private void publish() {
            while (!over && !cancelled) {
                if (refused) {
                    fail(new IllegalArgumentException("a subscriber must ask for at least one id"));
                } else if (generation.isFinished()) {
                    over = true;
                    subscriber.onComplete();
                } else if (wanted.get() == 0) {
                    return;
                } else {
                    next();
                }
            }
        }

        private void next() {
            GeneratedId next;
            try {
                next = generation.poll();
            } catch (RuntimeException | Error e) {
                fail(e);
                return;
            }
            if (cancelled) {
                return;
            }
            if (next == null) {
                fail(new CancellationException("the generation was cancelled"));
                return;
            }
            wanted.updateAndGet(n -> n == Long.MAX_VALUE ? n : n - 1);
            try {
                subscriber.onNext(next);
            } catch (RuntimeException | Error e) {
                cancel();
                throw e;
            }
        }

        private void fail(Throwable reason) {
            over = true;
            generation.cancel();
            subscriber.onError(reason);
        }
    }
}
