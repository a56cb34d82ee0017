package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

class CpuBackendTest {
    @Test
    void memoryIsZeroFilledCountedAndGivenBack() {
        try (CpuBackend backend = CpuBackend.open(1)) {
            for (long bytes : new long[] {0, 1, 4096, 9 << 20}) {
                Memory memory = backend.allocate(bytes);
                assertThat(memory.bytes()).isEqualTo(bytes);
                assertThat(backend.heldBytes()).isEqualTo(bytes);
                MemorySegment segment = ((CpuMemory) memory).segment();
                assertThat(segment.mismatch(MemorySegment.ofArray(new byte[(int) bytes]))).isEqualTo(-1);
                segment.fill((byte) 7);
                memory.close();
                memory.close();
                assertThat(backend.heldBytes()).isZero();
                assertThatThrownBy(() -> segment.fill((byte) 0)).isInstanceOf(IllegalStateException.class);
            }
        }
    }

    @Test
    void plansGiveBackAllTheirMemory() {
        AttentionShape shape = new AttentionShape(2, 100, 4, 1, 8);
        try (CpuBackend backend = CpuBackend.open(2)) {
            for (int i = 0; i < 20; i++) {
                MemoryPlan plan = new MemoryPlan();
                Tensor qkv = plan.tensor(Category.ACTIVATIONS, "qkv", DType.F32, shape.rows(), shape.packedWidth());
                Tensor out = plan.tensor(Category.ACTIVATIONS, "out", DType.F32, shape.rows(), shape.width());
                Tensor sums = plan.tensor(Category.ACTIVATIONS, "sums", DType.F32, 2, 4, 100);
                Ops ops = backend.plan(plan, dry -> dry.causalAttention(shape, qkv, AttentionBias.NONE, out, sums));
                backend.allocate(plan);
                assertThat(backend.heldBytes()).isEqualTo(plan.bytes());
                ops.causalAttention(shape, qkv, AttentionBias.NONE, out, sums);
                plan.close();
                assertThat(backend.heldBytes()).isZero();
            }
        }
    }

    @Test
    void aPlanThatDoesNotFitIsRefusedBeforeAnythingIsAllocated() {
        try (CpuBackend backend = CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            plan.tensor(Category.PARAMETERS, "small", DType.F32, 1 << 20);
            plan.tensor(Category.ACTIVATIONS, "large", DType.F32, 1L << 48);
            assertThatThrownBy(() -> backend.allocate(plan)).isInstanceOf(OutOfMemoryException.class)
                    .hasMessageStartingWith("not enough memory: 1048576.00 GiB needed (parameters 0.00 GiB, activations"
                            + " 1048576.00 GiB), ");
            assertThat(backend.heldBytes()).isZero();
        }
    }

    @Test
    void theSentenceAboutTooLittleMemory() {
        Map<Category, Long> sizes = new EnumMap<>(Category.class);
        sizes.put(Category.PARAMETERS, 3L << 30);
        sizes.put(Category.WORKSPACE, 1L << 28);
        assertThat(OutOfMemoryException.ofPlan("", sizes, 2L << 30)).hasMessage("not enough memory: 3.25 GiB needed"
                + " (parameters 3.00 GiB, workspace 0.25 GiB), 2.00 GiB free; use a smaller --batch or --seq-len, or a"
                + " smaller model");
    }

    @Test
    void threadCountsThatMakeNoSenseAreRefused() {
        assertThatThrownBy(() -> CpuBackend.open(0)).isInstanceOf(MegabyteException.class)
                .hasMessage("--threads 0 is not possible; use 1 to 1024, " + Runtime.getRuntime().availableProcessors()
                        + " for this machine");
        assertThatThrownBy(() -> CpuBackend.open(5000)).isInstanceOf(MegabyteException.class);
    }

    @Test
    void hostBytesMustFitTheTensor() {
        try (CpuBackend backend = CpuBackend.open(1); MemoryPlan plan = new MemoryPlan()) {
            Tensor tensor = plan.tensor(Category.ACTIVATIONS, "x", DType.F32, 3);
            backend.allocate(plan);
            backend.write(tensor, 1f, 2, 3);
            assertThat(backend.readFloats(tensor)).containsExactly(1f, 2f, 3f);
            assertThatThrownBy(() -> backend.write(tensor, 1f, 2, 3, 4)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("16 bytes do not fit a tensor of 12 bytes, F32[3]");
            assertThatThrownBy(() -> backend.read(tensor, MemorySegment.ofArray(new float[2])))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void theDescriptionNamesThreadsAndProviders() {
        try (CpuBackend backend = CpuBackend.open(2)) {
            assertThat(backend.name()).isEqualTo("cpu");
            assertThat(backend.description()).matches("2 threads, \\d+-bit vectors, OpenBLAS .*, kernels for \\w+");
        }
        try (CpuBackend backend = CpuBackend.open(1, new PlainKernels(), new JavaGemm(new PlainKernels()))) {
            assertThat(backend.description()).isEqualTo("1 thread, plain loops, matrix products in Java, plain loops");
        }
    }
}
