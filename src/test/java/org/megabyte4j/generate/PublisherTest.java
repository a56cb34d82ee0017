package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Flow;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;

/** A generation as a publisher: the rules of Reactive Streams, and no id before it is wanted. */
class PublisherTest {
    private static final int NEW_IDS = 11;

    private final CpuBackend backend = CpuBackend.open(1);
    private final GenerationRequest request = new GenerationRequest(List.of(new int[] {1, 2}, new int[0], new int[7]),
            NEW_IDS, SamplingOptions.random(3), false, false);
    private Parameters parameters;
    private Generator generator;
    private Generation generation;

    @BeforeEach
    void open() {
        parameters = TestModels.random(TestModels.config(Variant.IN_ACTION, 4), backend, 3);
        generator = Generator.forRequest(request, backend, parameters, 2, Alignment.ALIGNED);
    }

    @AfterEach
    void close() {
        generator.close();
        parameters.close();
        backend.close();
    }

    /** Notes what it hears, and that no two signals come at once. */
    private static class Recorder implements Flow.Subscriber<GeneratedId> {
        final List<GeneratedId> ids = new ArrayList<>();
        final CountDownLatch ended = new CountDownLatch(1);
        Flow.Subscription subscription;
        Throwable error;
        boolean complete;
        private boolean busy;

        private void signal(Runnable work) {
            assertThat(busy).as("one signal at a time").isFalse();
            assertThat(ended.getCount()).as("nothing follows the end").isOne();
            busy = true;
            work.run();
            busy = false;
        }

        @Override
        public void onSubscribe(Flow.Subscription given) {
            signal(() -> {
                assertThat(subscription).isNull();
                subscription = given;
                subscribed();
            });
        }

        @Override
        public void onNext(GeneratedId id) {
            signal(() -> {
                ids.add(id);
                next();
            });
        }

        @Override
        public void onError(Throwable reason) {
            signal(() -> error = reason);
            ended.countDown();
        }

        @Override
        public void onComplete() {
            signal(() -> complete = true);
            ended.countDown();
        }

        void subscribed() {
        }

        void next() {
        }
    }

    private Recorder subscribe(Executor executor, Recorder recorder) {
        generation = generator.start(request);
        generation.publisher(executor).subscribe(recorder);
        return recorder;
    }

    private int computed() {
        return generation.results().stream().mapToInt(result -> result.ids().length).sum();
    }

    private List<GeneratedId> expected() {
        List<GeneratedId> expected = new ArrayList<>();
        try (Generator other = Generator.forRequest(request, backend, parameters, 2, Alignment.ALIGNED);
                Generation iterated = other.start(request)) {
            iterated.forEachRemaining(expected::add);
        }
        return expected;
    }

    @Test
    void aSubscriberGetsNoMoreThanItAsksFor() {
        Recorder recorder = subscribe(Runnable::run, new Recorder());
        assertThat(computed()).isZero();
        int asked = 0;
        for (int n : new int[] {1, 2, 5, 1}) {
            recorder.subscription.request(n);
            asked += n;
            assertThat(recorder.ids).hasSize(asked);
            assertThat(computed()).as("nothing ahead of demand").isEqualTo(asked);
        }
        recorder.subscription.request(3 * NEW_IDS - asked);
        assertThat(recorder.complete).as("the end needs no demand").isTrue();
        assertThat(recorder.ids).isEqualTo(expected());
    }

    @Test
    void demandWithoutBoundGetsEverything() {
        Recorder recorder = subscribe(Runnable::run, new Recorder() {
            @Override
            void subscribed() {
                subscription.request(Long.MAX_VALUE);
                subscription.request(Long.MAX_VALUE);
            }
        });
        assertThat(recorder.complete).isTrue();
        assertThat(recorder.ids).isEqualTo(expected());
    }

    @Test
    void askingForOneMoreWithinEachIdDoesNotDeepenTheStack() {
        Recorder recorder = subscribe(Runnable::run, new Recorder() {
            private int depth;

            @Override
            void subscribed() {
                subscription.request(1);
            }

            @Override
            void next() {
                int now = Thread.currentThread().getStackTrace().length;
                assertThat(depth == 0 || now == depth).isTrue();
                depth = now;
                subscription.request(1);
            }
        });
        assertThat(recorder.complete).isTrue();
    }

    @Test
    void aSlowSubscriberOfAnotherThreadHoldsTheGenerationBack() throws InterruptedException {
        try (ExecutorService executor = Executors.newSingleThreadExecutor()) {
            Recorder recorder = subscribe(executor, new Recorder());
            while (recorder.ids.size() < 5) {
                int before = recorder.ids.size();
                CountDownLatch idle = new CountDownLatch(1);
                executor.execute(idle::countDown);
                idle.await();
                assertThat(computed()).isEqualTo(before);
                recorder.subscription.request(1);
                CountDownLatch done = new CountDownLatch(1);
                executor.execute(done::countDown);
                done.await();
                assertThat(recorder.ids).hasSize(before + 1);
            }
            recorder.subscription.request(1000);
            assertThat(recorder.ended.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(recorder.ids).isEqualTo(expected());
        }
    }

    @Test
    void cancellingTheSubscriptionCancelsTheGenerationSilently() {
        Recorder recorder = subscribe(Runnable::run, new Recorder() {
            @Override
            void next() {
                if (ids.size() == 3) {
                    subscription.cancel();
                }
            }
        });
        recorder.subscription.request(100);
        recorder.subscription.request(100);
        assertThat(recorder.ids).hasSize(3);
        assertThat(recorder.complete).isFalse();
        assertThat(recorder.error).isNull();
        assertThat(generation.hasNext()).isFalse();
    }

    @Test
    void cancellingTheGenerationIsAnErrorOfTheSubscription() {
        Recorder recorder = subscribe(Runnable::run, new Recorder());
        recorder.subscription.request(2);
        generation.cancel();
        recorder.subscription.request(2);
        assertThat(recorder.ids).hasSize(2);
        assertThat(recorder.error).isInstanceOf(CancellationException.class).hasMessage("the generation was cancelled");
    }

    @Test
    void askingForNothingIsAnError() {
        for (long n : new long[] {0, -1, Long.MIN_VALUE}) {
            Recorder recorder = subscribe(Runnable::run, new Recorder());
            recorder.subscription.request(n);
            recorder.subscription.request(1);
            assertThat(recorder.error).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("a subscriber must ask for at least one id");
            assertThat(recorder.ids).isEmpty();
            generation.close();
        }
    }

    @Test
    void aSecondSubscriberIsRefused() {
        Recorder first = new Recorder();
        Recorder second = new Recorder();
        generation = generator.start(request);
        Flow.Publisher<GeneratedId> publisher = generation.publisher(Runnable::run);
        publisher.subscribe(first);
        publisher.subscribe(second);
        second.subscription.request(1);
        assertThat(second.error).hasMessage("a generation has one subscriber; it has one already");
        first.subscription.request(1000);
        assertThat(first.ids).isEqualTo(expected());
    }

    @Test
    void whatGoesWrongIsHeard() {
        float[] bias = new float[29];
        bias[11] = Float.NaN;
        backend.write(parameters.get("to_logits.bias"), bias);
        Recorder recorder = subscribe(Runnable::run, new Recorder());
        recorder.subscription.request(1);
        assertThat(recorder.error).isInstanceOf(GenerationException.class).hasMessageContaining("NaN for id 11");
        Recorder unheard = new Recorder();
        generation.close();
        subscribe(task -> {
            throw new RejectedExecutionException("the executor is shut down");
        }, unheard);
        assertThat(unheard.error).hasMessage("the executor is shut down");
    }

    /** Closing waits for the byte that is being computed, whose memory is given back behind it. */
    @Test
    void closingInTheMiddleWaitsForWhatIsBeingComputed() throws InterruptedException {
        try (ExecutorService executor = Executors.newSingleThreadExecutor()) {
            Consumer<Recorder> ask = recorder -> recorder.subscription.request(Long.MAX_VALUE);
            CountDownLatch first = new CountDownLatch(1);
            Recorder recorder = subscribe(executor, new Recorder() {
                @Override
                void subscribed() {
                    ask.accept(this);
                }

                @Override
                void next() {
                    first.countDown();
                }
            });
            assertThat(first.await(30, TimeUnit.SECONDS)).isTrue();
            generator.close();
            assertThat(recorder.ended.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(recorder.complete || recorder.error instanceof CancellationException).isTrue();
        }
    }
}
