package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntToLongFunction;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.MemoryPlan.Category;

class LargestBatchTest {
    private static final long GIB = 1L << 30;

    @Test
    void itIsTheLastThatFitsHoweverMemoryGrows() {
        for (IntToLongFunction needed : new IntToLongFunction[] {b -> 10 + 7L * b, b -> 10 + b / 4 * 4, b -> (long) b * b,
            b -> b < 50 ? 1 : 1000}) {
            for (int asked : new int[] {2, 3, 64, 100}) {
                for (long free = 0; free < needed.applyAsLong(asked); free += 3) {
                    int largest = LargestBatch.find(asked, free, needed);
                    assertThat(largest).isBetween(0, asked - 1);
                    assertThat(largest == 0 || needed.applyAsLong(largest) <= free).isTrue();
                    assertThat(needed.applyAsLong(largest + 1)).isGreaterThan(free);
                }
            }
        }
    }

    @Test
    void itTakesFewPlans() {
        AtomicInteger plans = new AtomicInteger();
        assertThat(LargestBatch.find(4096, 1000 * GIB, batch -> {
            plans.incrementAndGet();
            return 3 * GIB + batch * (GIB / 3) / 256 * 256;
        })).isEqualTo(2991);
        assertThat(plans.get()).isLessThan(6);
    }

    @Test
    void theSentenceNamesTheLargestBatch() {
        assertThatThrownBy(() -> LargestBatch.named("--batch", 8, b -> b * GIB, LargestBatchTest::refuse))
                .isInstanceOf(OutOfMemoryException.class).hasMessage("not enough memory on the GPU: 8.00 GiB needed"
                        + " (parameters 8.00 GiB), 5.50 GiB free; the largest that fits is --batch 5");
        assertThatThrownBy(() -> LargestBatch.named("--batch", 8, b -> (5 + b) * GIB, LargestBatchTest::refuse))
                .hasMessage("not enough memory on the GPU: 8.00 GiB needed (parameters 8.00 GiB), 5.50 GiB free; not even"
                        + " --batch 1 fits, use a smaller --seq-len or a smaller model");
    }

    @Test
    void whereASingleSequenceDoesNotFitThereAreOtherWays() {
        assertThatThrownBy(() -> LargestBatch.named("--batch", 1, "--recompute all", b -> 8 * GIB,
                LargestBatchTest::refuse)).isInstanceOf(OutOfMemoryException.class)
                .hasMessageEndingWith("5.50 GiB free; not even --batch 1 fits, use --recompute all");
    }

    private static void refuse() {
        throw OutOfMemoryException.ofPlan(" on the GPU", new EnumMap<>(Map.of(Category.PARAMETERS, 8 * GIB)),
                11 * GIB / 2);
    }
}
