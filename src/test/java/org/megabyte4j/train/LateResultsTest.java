package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.ForwardingBackend;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** A run on a device that is always a step behind. */
class LateResultsTest {
    @TempDir
    private Path folder;

    @Test
    void theLinesAreTheSameAndNoStepIsWaitedForBeforeTheNextIsEnqueued() throws IOException {
        DataOptions data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(300, 1)), Sampling.RANDOM);
        TrainOptions options = TrainOptions.of(TestRun.BATCH, TestRun.LENGTH, 1e-3);
        // Lines of steps 1, 2, 4, ...; a validation after 3, 6, ...; a checkpoint after 5, 10, ...; 11 is the last.
        RunOptions run = new RunOptions(11, null, new Bookkeeping(2, 5, 2, 3, 96));
        Path usual = folder.resolve("usual");
        TestRun.train(usual, data, options, run, handle -> { });
        Path late = folder.resolve("late");
        List<Long> waits = new ArrayList<>();
        try (LateBackend backend = new LateBackend(waits)) {
            TestRun.train(late, data, options, run, backend, DType.F32, handle -> { });
        }
        assertThat(TestRun.timelessMetrics(late)).isEqualTo(TestRun.timelessMetrics(usual));
        assertThat(waits).as("steps that something other than a step had to wait for")
                .isSubsetOf(3L, 5L, 6L, 9L, 10L, 11L).contains(3L, 5L);
    }

    /** Its results are not there until the next step is enqueued. */
    private static final class LateBackend extends ForwardingBackend {
        private final List<Long> waits;

        LateBackend(List<Long> waits) {
            super(CpuBackend.open(1));
            this.waits = waits;
        }

        @Override
        public Readback readback(Tensor... scalars) {
            Readback readback = super.readback(scalars);
            return new Readback() {
                private long enqueued;

                @Override
                public long enqueue() {
                    enqueued++;
                    return readback.enqueue();
                }

                @Override
                public boolean isReady(long copy) {
                    return copy < enqueued - 1;
                }

                @Override
                public float value(long copy, int scalar) {
                    if (!isReady(copy)) {
                        waits.add(copy + 1);
                    }
                    return readback.value(copy, scalar);
                }

                @Override
                public void close() {
                    readback.close();
                }
            };
        }
    }
}
