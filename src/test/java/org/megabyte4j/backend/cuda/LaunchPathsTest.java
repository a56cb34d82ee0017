package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.backend.Stopwatch;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

/** What measurements rest on: each way launches what it says, times are those of the work, launches are counted. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class LaunchPathsTest {
    private CudaBackend backend;

    @BeforeEach
    void open() {
        Simulator.load();
        Simulator.reset();
        backend = Simulator.open();
    }

    @AfterEach
    void close() {
        backend.close();
    }

    @Test
    void eachWayLaunchesOnceAndTheGraphAHundredTimes() {
        try (LaunchPaths paths = new LaunchPaths(backend)) {
            Simulator.resetCalls();
            paths.jcuda();
            assertThat(Simulator.calls("cuLaunchKernel")).isEqualTo(1);
            paths.panama();
            assertThat(Simulator.calls("cuLaunchKernel")).isEqualTo(2);
            paths.graph();
            assertThat(Simulator.calls("cuLaunchKernel")).isEqualTo(2);
            assertThat(Simulator.calls("cuGraphLaunch")).isEqualTo(1);
            assertThat(backend.countLaunches(paths::panama)).isEqualTo(1);
            backend.synchronize();
        }
    }

    @Test
    void aRecordingIsTimedRunByRun() {
        MemoryPlan plan = new MemoryPlan();
        Tensor large = plan.tensor(Category.ACTIVATIONS, "large", DType.F32, 1 << 20);
        backend.allocate(plan);
        try (Recording fill = backend.record(() -> backend.kernels().elementwise().fill(large, 1))) {
            long events = Simulator.live("events");
            try (Stopwatch watch = backend.stopwatch()) {
                watch.lap();
                for (int i = 0; i < 5; i++) {
                    fill.run();
                    watch.lap();
                }
                assertThat(watch.seconds()).hasSize(5).doesNotContain(0);
            }
            assertThat(Simulator.live("events")).isEqualTo(events);
            assertThat(backend.readFloats(large)).containsOnly(1f);
        }
        assertThat(backend.countLaunches(() -> {
            backend.kernels().elementwise().fill(large, 2);
            backend.kernels().elementwise().fill(large, 3);
        })).isEqualTo(2);
        assertThat(backend.readFloats(large)).containsOnly(1f);
        plan.close();
    }
}
