package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ForwardingBackend;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.OptimizerOptions;
import org.megabyte4j.train.Schedule;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;

/** A training step as the driver sees it. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class TrainingStepTest {
    private static final int LENGTH = 32;

    @BeforeEach
    void freshDevice() {
        Simulator.load();
        Simulator.reset();
    }

    @AfterEach
    void nothingIsLeft() {
        for (String kind : List.of("allocations", "pinned", "streams", "events", "modules", "executables", "contexts",
                "leaked")) {
            assertThat(Simulator.live(kind)).as(kind).isZero();
        }
        Simulator.reset();
    }

    private static Trainer trainer(Parameters parameters, int accumulate, Backend backend) {
        return trainer(parameters, accumulate, Recomputation.NONE, backend);
    }

    private static Trainer trainer(Parameters parameters, int accumulate, Recomputation recomputation,
            Backend backend) {
        return Trainer.create(parameters, new TrainOptions(1, LENGTH, accumulate, 1, OptimizerOptions.adamW(),
                Schedule.constant(1e-3), recomputation), backend);
    }

    private static Backend unrecorded(Backend backend) {
        return new ForwardingBackend(backend) {
            @Override
            public Recording record(Runnable work) {
                return Recording.of(work);
            }
        };
    }

    private static int[] ids(MegabyteConfig config, int step, int accumulate) {
        return new SplittableRandom(step).ints((long) LENGTH * accumulate, 0, Math.min(256, config.vocabularySize()))
                .toArray();
    }

    @ParameterizedTest
    @CsvSource({"F32", "BF16"})
    void aReplayedStepIsOneGraphAndAFewCopiesAndNothingWaits(DType dtype) {
        MegabyteConfig config = Presets.named("tiny");
        try (Backend backend = Simulator.open();
                Parameters parameters = Parameters.initialized(config, dtype, backend, 1);
                Trainer trainer = trainer(parameters, 1, backend)) {
            for (int step = 0; step < 3; step++) {
                trainer.step(ids(config, step, 1));
                assertThat(trainer.loss()).isFinite();
            }
            int[] ids = ids(config, 3, 1);
            Simulator.resetCalls();
            trainer.step(ids);
            assertThat(Simulator.calls("cuGraphLaunch")).isEqualTo(1);
            assertThat(Simulator.calls("cuMemcpyHtoDAsync")).as("targets, scalars, ids").isEqualTo(3);
            assertThat(Simulator.calls("cuMemcpyDtoDAsync")).isEqualTo(3);
            assertThat(Simulator.calls("cuMemcpyDtoHAsync")).as("loss, norm").isEqualTo(2);
            assertThat(Simulator.calls("cuStreamWaitEvent")).isEqualTo(3);
            assertThat(Simulator.calls("cuEventRecord")).as("two of each way in, one of the way out").isEqualTo(7);
            assertThat(Simulator.calls("cuEventQuery")).as("whether a slot is free").isLessThanOrEqualTo(3);
            long expected = 1 + 3 + 3 + 2 + 3 + 7 + Simulator.calls("cuEventQuery");
            assertThat(Simulator.totalCalls()).as("nothing waits, allocates or launches besides").isEqualTo(expected);
        }
    }

    @Test
    void theBackendMakesNoGarbageInAStep() {
        MegabyteConfig config = Presets.named("tiny");
        try (AllocationMeter backend = new AllocationMeter(Simulator.open());
                Parameters parameters = Parameters.initialized(config, DType.F32, backend, 1);
                Trainer trainer = trainer(parameters, 1, backend)) {
            for (int step = 0; step < 8; step++) {
                backend.reset();
                trainer.step(ids(config, step, 1));
                trainer.loss(Math.max(1, step));
            }
            assertThat(backend.bytes()).isZero();
            assertThat(backend.calls()).isEqualTo(6);
        }
    }

    /**
     * As many bytes as the benchmark preset has at batch 32, which are checked, counted and copied. Kernels run on a
     * thread of the simulated device, so the calling thread's time is that of Java and of enqueuing; it is the least of
     * many steps, since other processes take the caches away from them.
     */
    @Test
    void aReplayedStepTakesLittleOfTheCallingThreadAndMakesNoGarbage() {
        Simulator.set("COMPUTE", "off");
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        MegabyteConfig config = new MegabyteConfig(Variant.IN_ACTION, 300, 8, 8, 16, 2048, 1, 1, 1, 1, 0.02, 257, 258);
        int[] ids = new SplittableRandom(1).ints(32 * 2048, 0, 256).toArray();
        long[] nanoseconds = new long[200];
        try (Backend backend = Simulator.open();
                Parameters parameters = Parameters.initialized(config, DType.BF16, backend, 1);
                Trainer trainer = Trainer.create(parameters, new TrainOptions(32, 2048, 1, 1, OptimizerOptions.adamW(),
                        Schedule.constant(1e-3)), backend)) {
            int allocating = 0;
            for (int step = -300; step < nanoseconds.length; step++) {
                long bytesBefore = threads.getCurrentThreadAllocatedBytes();
                long before = threads.getCurrentThreadCpuTime();
                trainer.step(ids);
                long taken = threads.getCurrentThreadCpuTime() - before;
                trainer.loss();
                if (step >= 0) {
                    allocating += threads.getCurrentThreadAllocatedBytes() > bytesBefore ? 1 : 0;
                    nanoseconds[step] = taken;
                }
            }
            assertThat(allocating).as("steps that make garbage; when it compiles anew, the JVM does").isLessThan(3);
        }
        Arrays.sort(nanoseconds);
        assumeFalse(System.getenv().getOrDefault("LD_PRELOAD", "").contains("libasan"),
                "with a sanitizer in the simulated device, times mean nothing");
        assertThat(nanoseconds[0]).as("nanoseconds of a step").isLessThan(100_000);
    }

    @Test
    void everyOperationOfAStepIsTimed() {
        MegabyteConfig config = Presets.named("tiny");
        try (Backend backend = Simulator.open();
                Parameters parameters = Parameters.initialized(config, DType.BF16, backend, 1);
                Trainer trainer = trainer(parameters, 1, backend)) {
            trainer.step(ids(config, 0, 1));
            var calls = trainer.timedAccount();
            assertThat(calls).hasSameSizeAs(trainer.account()).allMatch(call -> call.seconds() > 0);
            assertThat(backend.memoryUse().taken()).isBetween(parameters.arena().bytes(), backend.memoryUse().total());
        }
    }

    @Test
    void stepsOfSeveralBatchesAreReplayedInParts() {
        MegabyteConfig config = Presets.named("tiny");
        try (Backend backend = Simulator.open();
                Parameters parameters = Parameters.initialized(config, DType.F32, backend, 1);
                Trainer trainer = trainer(parameters, 3, backend)) {
            for (int step = 0; step < 2; step++) {
                trainer.step(ids(config, step, 3));
            }
            Simulator.resetCalls();
            trainer.step(ids(config, 2, 3));
            assertThat(Simulator.calls("cuGraphLaunch")).as("begin, three batches, update").isEqualTo(5);
            assertThat(Simulator.calls("cuLaunchKernel")).isZero();
        }
    }

    /** Chunks of three of eight patches. */
    @ParameterizedTest
    @EnumSource(names = {"NONE", "ALL"})
    void replayedStepsAreThoseOfPlainLaunches(Recomputation.Stacks stacks) {
        MegabyteConfig config = Presets.named("tiny");
        float[][] weights = new float[2][];
        for (int plain = 0; plain < 2; plain++) {
            try (CudaBackend cuda = Simulator.open(); Backend backend = plain == 1 ? unrecorded(cuda) : cuda;
                    Parameters parameters = Parameters.initialized(config, DType.F32, backend, 1);
                    Trainer trainer = trainer(parameters, 1, new Recomputation(stacks, false, 3), backend)) {
                for (int step = 0; step < 4; step++) {
                    trainer.step(ids(config, step, 1));
                }
                weights[plain] = backend.readFloats(parameters.arena());
            }
        }
        assertThat(weights[0]).isEqualTo(weights[1]);
    }
}
