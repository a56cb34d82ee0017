package org.megabyte4j.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.megabyte4j.backend.IntReadback;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** A tensor of ints by {@link CudaCopies}. */
final class CudaIntReadback implements IntReadback {
    private final CudaCopies copies;

    CudaIntReadback(CudaContext context, Tensor tensor) {
        if (tensor.dtype() != DType.I32) {
            throw new IllegalArgumentException("an I32 tensor is needed, this one is " + tensor);
        }
        copies = new CudaCopies(context, tensor);
    }

    @Override
    public long enqueue() {
        return copies.enqueue();
    }

    @Override
    public void read(long copy, int[] to) {
        copies.await(copy);
        MemorySegment.copy(copies.segment(), ValueLayout.JAVA_INT, copies.offset(copy), to, 0, to.length);
    }

    @Override
    public void close() {
        copies.close();
    }
}
