package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(30)
class WorkersTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7})
    void everyItemIsVisitedOnce(int threads) {
        try (Workers workers = new Workers(threads)) {
            for (int items : new int[] {0, 1, 2, 5, 16, 63, 64, 100, 1031}) {
                for (int grain : new int[] {0, 1, 7, 5000}) {
                    AtomicIntegerArray visits = new AtomicIntegerArray(items);
                    workers.forRange(items, grain, (from, to) -> {
                        for (long i = from; i < to; i++) {
                            visits.incrementAndGet((int) i);
                        }
                    });
                    for (int i = 0; i < items; i++) {
                        assertThat(visits.get(i)).as("visits of item %d of %d", i, items).isEqualTo(1);
                    }
                }
            }
        }
    }

    @Test
    void aThreadAlwaysGetsTheSameShare() {
        try (Workers workers = new Workers(3)) {
            List<String> first = shares(workers);
            for (int i = 0; i < 200; i++) {
                assertThat(shares(workers)).isEqualTo(first);
            }
        }
    }

    private static List<String> shares(Workers workers) {
        String[] shares = new String[workers.threads()];
        workers.run((thread, threads) -> shares[thread] = thread + " of " + threads + " on "
                + Thread.currentThread().getName());
        return Arrays.asList(shares);
    }

    @Test
    void whatAnyThreadThrowsReachesTheCallerAndTheNextTaskRuns() {
        try (Workers workers = new Workers(3)) {
            for (int thrower = 0; thrower < 3; thrower++) {
                int bad = thrower;
                assertThatThrownBy(() -> workers.run((thread, threads) -> {
                    if (thread == bad) {
                        throw new IllegalArgumentException("thread " + thread);
                    }
                })).isInstanceOf(IllegalArgumentException.class).hasMessage("thread " + bad);
                assertThatThrownBy(() -> workers.run((thread, threads) -> {
                    if (thread == bad) {
                        throw new StackOverflowError();
                    }
                })).isInstanceOf(StackOverflowError.class);
                Set<Integer> ran = ConcurrentHashMap.newKeySet();
                workers.run((thread, threads) -> ran.add(thread));
                assertThat(ran).containsExactlyInAnyOrder(0, 1, 2);
            }
        }
    }

    @Test
    void idleThreadsSleep() throws InterruptedException {
        try (Workers workers = new Workers(2)) {
            Thread[] daemon = new Thread[2];
            workers.run((thread, threads) -> daemon[thread] = Thread.currentThread());
            waitUntilAsleep(daemon[1]);
            Set<Integer> ran = ConcurrentHashMap.newKeySet();
            workers.run((thread, threads) -> ran.add(thread));
            assertThat(ran).containsExactlyInAnyOrder(0, 1);
        }
    }

    private static void waitUntilAsleep(Thread thread) throws InterruptedException {
        while (thread.getState() != Thread.State.WAITING) {
            Thread.sleep(Duration.ofMillis(1));
        }
    }

    @Test
    void closingEndsTheThreadsAndRefusesWork() {
        Workers workers = new Workers(4);
        Thread[] all = new Thread[4];
        workers.run((thread, threads) -> all[thread] = Thread.currentThread());
        workers.close();
        workers.close();
        assertThat(all[0]).isSameAs(Thread.currentThread());
        for (int i = 1; i < 4; i++) {
            assertThat(all[i].isAlive()).isFalse();
        }
        assertThatThrownBy(() -> workers.run((thread, threads) -> { })).isInstanceOf(IllegalStateException.class)
                .hasMessage("the CPU backend is closed");
        assertThatThrownBy(() -> workers.forRange(1, 1, (from, to) -> { })).isInstanceOf(IllegalStateException.class);
    }
}
