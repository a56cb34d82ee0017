package org.megabyte4j.backend.cuda;

import java.util.List;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** What the launches of several kernels have in common. */
final class Launches {
    /** Of {@code kernels/common/elements.cuh}: threads of a block, and how many vectors each takes. */
    private static final int THREADS = 256;
    private static final int VECTORS_PER_THREAD = 4;
    private static final int VECTOR_BYTES = 16;

    private Launches() {
    }

    /**
     * Begins the launch of an elementwise kernel.
     *
     * @param vector elements that a thread takes at a time
     */
    static Kernel elementwise(Kernel kernel, long elements, int vector) {
        return kernel.grid(Math.ceilDiv(elements, (long) THREADS * VECTORS_PER_THREAD * vector)).block(THREADS);
    }

    /** Elements of 16 bytes. */
    static int vector(DType dtype) {
        return VECTOR_BYTES / dtype.bytes();
    }

    /** Whether rows of so many columns can be read 16 bytes at a time; of none, they can. */
    static boolean vectors(Tensor tensor, long columns) {
        return tensor == null || tensor.offset() % VECTOR_BYTES == 0
                && columns * tensor.dtype().bytes() % VECTOR_BYTES == 0;
    }

    /** Adds a sentence for each tensor whose rows of so many columns cannot be read 16 bytes at a time. */
    static void unaligned(List<String> obstacles, long columns, Tensor... tensors) {
        for (Tensor tensor : tensors) {
            if (!vectors(tensor, columns)) {
                obstacles.add("the rows of " + tensor + " do not begin at multiples of 16 bytes");
            }
        }
    }

    /** The kernel for the dtype of a tensor. */
    static Kernel of(Tensor tensor, Kernel float32, Kernel bf16) {
        return switch (tensor.dtype()) {
            case F32 -> float32;
            case BF16 -> bf16;
            default -> throw new IllegalArgumentException("there is no kernel for " + tensor);
        };
    }
}
