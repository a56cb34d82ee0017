package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.IntReadback;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

class CudaReadbackTest {
    @BeforeEach
    void load() {
        Simulator.load();
        Simulator.reset();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void eachCopyHoldsWhatTheScalarsWereThen(boolean cuda) {
        try (Backend backend = cuda ? Simulator.open() : CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            Tensor scalars = plan.tensor(Category.ACTIVATIONS, "scalars", DType.F32, 2);
            Tensor a = scalars.part(0, 1);
            Tensor b = scalars.part(1, 1);
            Ops ops = backend.plan(plan, dry -> dry.fill(a, 0));
            backend.allocate(plan);
            try (Readback readback = backend.readback(a, b)) {
                for (int i = 0; i < 3 * Readback.KEPT; i++) {
                    ops.fill(a, i);
                    ops.fill(b, -i);
                    assertThat(readback.enqueue()).isEqualTo(i);
                    for (int kept = Math.max(0, i - Readback.KEPT + 1); kept <= i; kept++) {
                        assertThat(readback.value(kept, 0)).isEqualTo(kept);
                        assertThat(readback.value(kept, 1)).isEqualTo(-kept);
                        assertThat(readback.isReady(kept)).isTrue();
                    }
                }
                long last = 3 * Readback.KEPT - 1;
                assertThatThrownBy(() -> readback.value(last - Readback.KEPT, 0))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessage("copy 7 is not kept; 12 were enqueued, and the last 4 are kept");
                assertThatThrownBy(() -> readback.isReady(last + 1)).isInstanceOf(IllegalArgumentException.class);
                assertThatThrownBy(() -> readback.value(-1, 0)).isInstanceOf(IllegalArgumentException.class);
            }
        }
    }

    @Test
    void enqueuingDoesNotWaitAndACopyIsKnownBeforeLaterWork() {
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 1 << 22);
            Tensor scalar = plan.tensor(Category.ACTIVATIONS, "scalar", DType.F32, 1);
            Ops ops = backend.plan(plan, dry -> dry.fill(x, 0));
            backend.allocate(plan);
            try (Readback readback = backend.readback(scalar)) {
                ops.fill(scalar, 3);
                Simulator.resetCalls();
                readback.enqueue();
                for (int i = 0; i < 50; i++) {
                    ops.fill(x, i);
                }
                readback.enqueue();
                assertThat(Simulator.calls("cuStreamSynchronize") + Simulator.calls("cuEventSynchronize")
                        + Simulator.calls("cuEventQuery")).isZero();
                assertThat(readback.value(0, 0)).isEqualTo(3);
                assertThat(readback.isReady(1)).isFalse();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void eachCopyHoldsWhatTheIntsWereThen(boolean cuda) {
        try (Backend backend = cuda ? Simulator.open() : CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            Tensor ints = plan.tensor(Category.ACTIVATIONS, "ints", DType.I32, 2, 3);
            Ops ops = backend.plan(plan, dry -> dry.fill(ints, 0));
            backend.allocate(plan);
            try (IntReadback readback = backend.intReadback(ints)) {
                int[] values = new int[6];
                for (int i = 0; i < 3 * IntReadback.KEPT; i++) {
                    ops.fill(ints, i);
                    assertThat(readback.enqueue()).isEqualTo(i);
                    for (int kept = Math.max(0, i - IntReadback.KEPT + 1); kept <= i; kept++) {
                        readback.read(kept, values);
                        assertThat(values).containsOnly(kept);
                    }
                }
                assertThatThrownBy(() -> readback.read(7, values)).isInstanceOf(IllegalArgumentException.class)
                        .hasMessage("copy 7 is not kept; 12 were enqueued, and the last 4 are kept");
            }
        }
    }

    @Test
    void whatReadbacksTakeIsGivenBack() {
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            Tensor ints = plan.tensor(Category.ACTIVATIONS, "ints", DType.I32, 5);
            backend.allocate(plan);
            long pinned = Simulator.live("pinned");
            long events = Simulator.live("events");
            IntReadback readback = backend.intReadback(ints);
            readback.enqueue();
            assertThat(Simulator.live("pinned")).isGreaterThan(pinned);
            readback.close();
            readback.close();
            assertThat(Simulator.live("pinned")).isEqualTo(pinned);
            assertThat(Simulator.live("events")).isEqualTo(events);
        }
    }

    @Test
    void onlyFloatScalarsComeBack() {
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            Tensor two = plan.tensor(Category.ACTIVATIONS, "two", DType.F32, 2);
            Tensor count = plan.tensor(Category.ACTIVATIONS, "count", DType.I32, 1);
            for (Tensor wrong : new Tensor[] {two, count}) {
                assertThatThrownBy(() -> backend.readback(wrong)).isInstanceOf(IllegalArgumentException.class)
                        .hasMessage("an F32 tensor of one element is needed, this one is " + wrong);
            }
            assertThatThrownBy(() -> backend.intReadback(two)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("an I32 tensor is needed, this one is F32[2]");
        }
    }
}
