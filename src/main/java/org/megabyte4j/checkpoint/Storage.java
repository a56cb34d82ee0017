package org.megabyte4j.checkpoint;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.DType;

/** A PyTorch storage: a run of elements that tensors are views of. */
record Storage(DType dtype, MemorySegment data) {
    long elements() {
        return data.byteSize() / dtype.bytes();
    }
}
