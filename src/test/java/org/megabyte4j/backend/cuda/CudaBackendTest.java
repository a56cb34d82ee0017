package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class CudaBackendTest {
    private static final List<String> KINDS = List.of("allocations", "bytes", "pinned", "streams", "events", "modules",
            "graphs", "executables", "contexts", "leaked");

    @BeforeEach
    void freshDevice() {
        Simulator.load();
        Simulator.reset();
    }

    @AfterEach
    void nothingIsLeft() {
        for (String kind : KINDS) {
            assertThat(Simulator.live(kind)).as(kind).isZero();
        }
        Simulator.reset();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 1009, 262_144, 262_145, 3_000_017})
    void whatIsWrittenIsReadBack(int elements) {
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            plan.tensor(Category.INPUTS, "before", DType.I32, 7);
            Tensor x = plan.tensor(Category.INPUTS, "x", DType.I32, elements);
            backend.allocate(plan);
            assertThat(backend.readInts(x)).containsOnly(0);
            int[] values = new SplittableRandom(elements).ints(elements).toArray();
            backend.write(x, values.clone());
            assertThat(backend.readInts(x)).isEqualTo(values);
            Tensor last = x.part(elements - 1, 1);
            backend.write(last, 5);
            values[elements - 1] = 5;
            assertThat(backend.readInts(x)).isEqualTo(values);
        }
    }

    @Test
    void whatIsWrittenMayBeChangedAtOnceHoweverManyWritesThereAre() {
        int count = 5 * Upload.SLOTS;
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.INPUTS, "x", DType.I32, count, 1000);
            backend.allocate(plan);
            int[] values = new int[1000];
            for (int i = 0; i < count; i++) {
                Arrays.fill(values, i + 1);
                backend.write(x.slice(i, 1), values);
            }
            int[] all = backend.readInts(x);
            for (int i = 0; i < all.length; i++) {
                assertThat(all[i]).isEqualTo(i / 1000 + 1);
            }
        }
    }

    @Test
    void writesKeepTheirPlaceAmongTheWork() {
        int elements = 100_003;
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.INPUTS, "x", DType.F32, elements);
            List<Tensor> copies = new ArrayList<>();
            for (int i = 0; i < 50; i++) {
                copies.add(plan.tensor(Category.ACTIVATIONS, "copy", DType.F32, elements));
            }
            Ops ops = backend.plan(plan, dry -> {
                dry.fill(x, 0);
                dry.copy(x, x);
            });
            backend.allocate(plan);
            float[] values = new float[elements];
            for (int i = 0; i < copies.size(); i += 2) {
                Arrays.fill(values, i);
                backend.write(x, values);
                ops.copy(x, copies.get(i));
                ops.fill(x, -1);
                ops.copy(x, copies.get(i + 1));
            }
            for (int i = 0; i < copies.size(); i++) {
                assertThat(backend.readFloats(copies.get(i))).containsOnly(i % 2 == 0 ? i : -1);
            }
        }
    }

    @Test
    void aPlanThatDoesNotFitIsRefusedBeforeAnythingIsAllocated() {
        Simulator.set("MEMORY", 64 << 20);
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            plan.tensor(Category.PARAMETERS, "small", DType.F32, 1 << 20);
            plan.tensor(Category.ACTIVATIONS, "large", DType.F32, 1 << 28);
            long before = Simulator.live("allocations");
            assertThatThrownBy(() -> backend.allocate(plan)).isInstanceOf(OutOfMemoryException.class)
                    .hasMessage("not enough memory on the GPU: 1.00 GiB needed (parameters 0.00 GiB, activations 1.00"
                            + " GiB), 0.05 GiB free; use a smaller --batch or --seq-len, or a smaller model");
            assertThat(Simulator.live("allocations")).isEqualTo(before);
        }
    }

    @Test
    void aBlockThatTheDriverRefusesTakesNoneOfTheOthers() {
        try (CudaBackend backend = Simulator.open(); MemoryPlan plan = new MemoryPlan()) {
            plan.tensor(Category.PARAMETERS, "first", DType.F32, 1 << 20);
            plan.tensor(Category.ACTIVATIONS, "second", DType.F32, 1 << 28);
            long before = Simulator.live("bytes");
            Simulator.fail("cuMemAlloc", 2, 2);
            assertThatThrownBy(() -> backend.allocate(plan)).isInstanceOf(OutOfMemoryException.class)
                    .hasMessage("not enough memory on the GPU: the driver does not give 1.00 GiB in one block; use a"
                            + " smaller --batch or --seq-len, or a smaller model");
            assertThat(Simulator.live("bytes")).isEqualTo(before);
        }
    }

    @Test
    void closingFreesWhatIsStillHeld() {
        MemoryPlan plan = new MemoryPlan();
        CudaBackend backend = Simulator.open();
        Tensor x = plan.tensor(Category.INPUTS, "x", DType.F32, 100);
        Ops ops = backend.plan(plan, dry -> dry.fill(x, 0));
        backend.allocate(plan);
        var recording = backend.record(() -> ops.fill(x, 1));
        recording.run();
        recording.run();
        var readback = backend.readback(x.part(0, 1));
        readback.enqueue();
        assertThat(Stream.of("allocations", "pinned", "streams", "events", "modules", "executables", "contexts"))
                .allMatch(kind -> Simulator.live(kind) > 0);
        backend.close();
        recording.close();
        readback.close();
        plan.close();
        backend.close();
    }

    @Test
    void plansAndRecordingsGiveBackTheirMemoryWhileTheBackendGoesOn() {
        try (CudaBackend backend = Simulator.open()) {
            List<Long> counts = null;
            for (int i = 0; i < 3; i++) {
                try (MemoryPlan plan = new MemoryPlan()) {
                    Tensor x = plan.tensor(Category.INPUTS, "x", DType.F32, 100);
                    Ops ops = backend.plan(plan, dry -> dry.fill(x, 0));
                    backend.allocate(plan);
                    try (var recording = backend.record(() -> ops.fill(x, 1));
                            var back = backend.readback(x.part(0, 1))) {
                        recording.run();
                        recording.run();
                        back.enqueue();
                    }
                }
                List<Long> now = KINDS.stream().map(Simulator::live).toList();
                assertThat(counts == null || counts.equals(now)).isTrue();
                counts = now;
            }
        }
    }

    @Test
    void aClosedBackendIsASentence() {
        CudaBackend backend = Simulator.open();
        try (MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.INPUTS, "x", DType.F32, 1);
            Ops ops = backend.plan(plan, dry -> dry.fill(x, 0));
            backend.allocate(plan);
            backend.close();
            for (Runnable use : List.<Runnable>of(() -> backend.allocate(8), () -> backend.write(x, 1f),
                    () -> backend.readFloats(x), backend::synchronize, () -> ops.fill(x, 1),
                    () -> backend.plan(new MemoryPlan(), dry -> { }), () -> backend.readback(x))) {
                assertThatThrownBy(use::run).isInstanceOf(IllegalStateException.class)
                        .hasMessage("the CUDA backend is closed");
            }
        }
    }

    @Test
    void aSecondThreadIsASentence() {
        try (CudaBackend backend = Simulator.open()) {
            assertThatThrownBy(() -> CompletableFuture.runAsync(backend::synchronize, task -> {
                Thread thread = new Thread(task, "second");
                thread.start();
            }).get()).isInstanceOf(ExecutionException.class).cause().isInstanceOf(IllegalStateException.class)
                    .hasMessage("the GPU was opened by the thread " + Thread.currentThread().getName()
                            + " and cannot be used by the thread second; open a backend in each thread, or hand the"
                            + " work over");
        }
    }

    @Test
    void freedAndForeignMemoryIsRefused() {
        try (CudaBackend backend = Simulator.open(); CudaBackend other = Simulator.open();
                MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.INPUTS, "x", DType.F32, 2);
            backend.allocate(plan);
            assertThatThrownBy(() -> other.write(x, 1f, 2f)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("the tensor F32[2] lies on another device");
            plan.close();
            assertThatThrownBy(() -> backend.readFloats(x)).isInstanceOf(IllegalStateException.class)
                    .hasMessage("this memory has been freed");
        }
    }

    @Test
    void twoBackendsInOneThreadDoNotMixUp() {
        try (CudaBackend one = Simulator.open(); CudaBackend two = Simulator.open(); MemoryPlan a = new MemoryPlan();
                MemoryPlan b = new MemoryPlan()) {
            Tensor x = a.tensor(Category.INPUTS, "x", DType.I32, 1);
            Tensor y = b.tensor(Category.INPUTS, "y", DType.I32, 1);
            one.allocate(a);
            two.allocate(b);
            one.write(x, 1);
            two.write(y, 2);
            assertThat(one.readInts(x)).containsExactly(1);
            assertThat(two.readInts(y)).containsExactly(2);
        }
    }
}
