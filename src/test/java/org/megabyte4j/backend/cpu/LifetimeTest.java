package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

/** Memory and threads are given back, and what has been given back is refused instead of touched. */
class LifetimeTest {
    private static final int BLOCK = 16 << 20;

    @Test
    void closingABackendFreesWhatItStillHolds() {
        CpuBackend backend = CpuBackend.open(2);
        MemoryPlan plan = new MemoryPlan();
        Tensor x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 1000);
        backend.allocate(plan);
        backend.allocate(12_345);
        CpuMemory memory = (CpuMemory) x.memory();
        backend.close();
        backend.close();
        assertThat(backend.heldBytes()).isZero();
        assertThatThrownBy(memory::segment).isInstanceOf(IllegalStateException.class);
        plan.close();
    }

    @Test
    void freedMemoryIsRefused() {
        try (CpuBackend backend = CpuBackend.open(2)) {
            MemoryPlan plan = new MemoryPlan();
            Tensor x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 1000);
            Ops ops = backend.plan(plan, dry -> dry.fill(x, 1));
            backend.allocate(plan);
            plan.close();
            assertThatThrownBy(() -> ops.fill(x, 1)).isInstanceOf(IllegalStateException.class)
                    .hasMessage("this memory has been freed");
            assertThatThrownBy(() -> backend.readFloats(x)).isInstanceOf(IllegalStateException.class);
            assertThatThrownBy(() -> backend.write(x, new float[1000])).isInstanceOf(IllegalStateException.class);
        }
    }

    @Test
    void aBlockThatTheSystemDoesNotGiveIsASentence() {
        try (CpuBackend backend = CpuBackend.open(1)) {
            assertThatThrownBy(() -> backend.allocate(1L << 60)).isInstanceOf(OutOfMemoryException.class)
                    .hasMessage("not enough memory: the system does not give 1073741824.00 GiB in one block; use a"
                            + " smaller --batch or --seq-len, or a smaller model");
            assertThat(backend.heldBytes()).isZero();
        }
    }

    /** By the operating system's count. Kept blocks would make a gibibyte. */
    @Test
    void memoryThatWasGivenBackIsTheSystemsAgain() throws IOException {
        assumeTrue(Files.isReadable(Path.of("/proc/self/status")), "resident memory is read from /proc");
        useABackend();
        long before = residentBytes();
        for (int i = 0; i < 64; i++) {
            useABackend();
        }
        assertThat(residentBytes() - before).isLessThan(16L * BLOCK);
    }

    private static void useABackend() {
        try (CpuBackend backend = CpuBackend.open(2); MemoryPlan plan = new MemoryPlan()) {
            Tensor x = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, BLOCK / 4);
            Ops ops = backend.plan(plan, dry -> dry.fill(x, 1));
            backend.allocate(plan);
            ops.fill(x, 1);
        }
    }

    private static long residentBytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", ""))).findFirst().orElseThrow();
    }

    @Test
    void threadsEndWithTheirBackend() {
        long before = workerThreads();
        for (int i = 0; i < 20; i++) {
            CpuBackend.open(4).close();
        }
        assertThat(workerThreads()).isEqualTo(before);
    }

    private static long workerThreads() {
        return Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().startsWith("megabyte4j-cpu-"))
                .count();
    }
}
