package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.Tensor;

/** Tensors as the memory that holds them. */
final class CpuTensors {
    private CpuTensors() {
    }

    /** The bytes of a tensor, from its first element on. */
    static MemorySegment segment(Tensor tensor) {
        return ((CpuMemory) tensor.memory()).segment().asSlice(tensor.offset(), tensor.bytes());
    }

    /**
     * The id at a position.
     *
     * @throws IndexOutOfBoundsException if it is not from 0 to {@code bound}, exclusive
     */
    static int id(MemorySegment ids, long position, long bound) {
        int id = ids.getAtIndex(JAVA_INT_UNALIGNED, position);
        if (id < 0 || id >= bound) {
            throw new IndexOutOfBoundsException("id " + id + " at position " + position
                    + " is not within a vocabulary of " + bound);
        }
        return id;
    }

    /** As {@link #segment}; null for none. */
    static MemorySegment segmentOrNull(Tensor tensor) {
        return tensor == null ? null : segment(tensor);
    }
}
