package org.megabyte4j.backend.cpu;

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

    /** As {@link #segment}; null for none. */
    static MemorySegment segmentOrNull(Tensor tensor) {
        return tensor == null ? null : segment(tensor);
    }
}
