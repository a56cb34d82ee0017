package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

/** Three cells of a shift register: work whose every run shows. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class RecordedWorkTest {
    private CudaBackend backend;
    private MemoryPlan plan;
    private Tensor cells;
    private Ops ops;

    @BeforeEach
    void open() {
        Simulator.load();
        Simulator.reset();
        backend = Simulator.open();
        plan = new MemoryPlan();
        cells = plan.tensor(Category.ACTIVATIONS, "cells", DType.F32, 3, 1000);
        ops = backend.plan(plan, dry -> dry.copy(cells.slice(0, 1), cells.slice(1, 1)));
        backend.allocate(plan);
    }

    @AfterEach
    void close() {
        plan.close();
        backend.close();
        assertThat(Simulator.live("leaked")).isZero();
    }

    private void shift() {
        ops.copy(cells.slice(1, 1), cells.slice(2, 1));
        ops.copy(cells.slice(0, 1), cells.slice(1, 1));
    }

    private void write(float value) {
        float[] values = new float[1000];
        java.util.Arrays.fill(values, value);
        backend.write(cells.slice(0, 1), values);
    }

    @Test
    void everyRunDoesTheWorkOnceWithWhatWasWrittenBeforeIt() {
        try (Recording recording = backend.record(this::shift)) {
            for (int i = 1; i < 20; i++) {
                write(i);
                recording.run();
                assertThat(backend.readFloats(cells.slice(1, 1))).containsOnly(i);
                assertThat(backend.readFloats(cells.slice(2, 1))).containsOnly(i - 1);
            }
        }
    }

    @Test
    void theFirstRunWarmsUpTheSecondCapturesTheOthersReplay() {
        Recording recording = backend.record(this::shift);
        Simulator.resetCalls();
        recording.run();
        assertThat(Simulator.calls("cuLaunchKernel")).isEqualTo(2);
        assertThat(Simulator.calls("cuGraphLaunch")).isZero();
        recording.run();
        assertThat(Simulator.calls("cuLaunchKernel")).isEqualTo(4);
        assertThat(Simulator.calls("cuGraphLaunch")).isEqualTo(1);
        Simulator.resetCalls();
        recording.run();
        recording.run();
        assertThat(Simulator.calls("cuGraphLaunch")).isEqualTo(2);
        assertThat(Simulator.totalCalls()).isEqualTo(2);
        assertThat(Simulator.live("executables")).isEqualTo(1);
        assertThat(Simulator.live("graphs")).isZero();
        recording.close();
        recording.close();
        assertThat(Simulator.live("executables")).isZero();
    }

    @Test
    void workThatReadsOrWritesIsRefusedAndLeavesTheStreamUsable() {
        for (Runnable wrong : new Runnable[] {() -> write(1), () -> backend.readFloats(cells)}) {
            Recording recording = backend.record(() -> {
                shift();
                wrong.run();
            });
            recording.run();
            assertThatThrownBy(recording::run).isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("by recorded work, which may only call operations");
            assertThat(Simulator.live("graphs")).isZero();
            write(7);
            shift();
            assertThat(backend.readFloats(cells.slice(1, 1))).containsOnly(7);
        }
    }

    @Test
    void aFailingCaptureIsAnException() {
        Recording recording = backend.record(this::shift);
        recording.run();
        Simulator.fail("cuGraphInstantiate", 1, 2);
        assertThatThrownBy(recording::run).isInstanceOf(CudaException.class)
                .hasMessageStartingWith("CUDA's cuGraphInstantiate failed with code 2, CUDA_ERROR_OUT_OF_MEMORY: ");
        assertThat(Simulator.live("graphs")).isZero();
        recording.run();
        assertThat(Simulator.live("executables")).isEqualTo(1);
    }
}
