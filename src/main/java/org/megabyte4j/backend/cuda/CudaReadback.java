package org.megabyte4j.backend.cuda;

import java.lang.foreign.ValueLayout;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Scalars by {@link CudaCopies}. */
final class CudaReadback implements Readback {
    private final CudaCopies copies;

    CudaReadback(CudaContext context, Tensor... scalars) {
        for (Tensor scalar : scalars) {
            if (scalar.dtype() != DType.F32 || scalar.elements() != 1) {
                throw new IllegalArgumentException("an F32 tensor of one element is needed, this one is " + scalar);
            }
        }
        copies = new CudaCopies(context, scalars);
    }

    @Override
    public long enqueue() {
        return copies.enqueue();
    }

    @Override
    public boolean isReady(long copy) {
        return copies.isReady(copy);
    }

    @Override
    public float value(long copy, int scalar) {
        copies.await(copy);
        return copies.segment().get(ValueLayout.JAVA_FLOAT, copies.offset(copy) + (long) Float.BYTES * scalar);
    }

    @Override
    public void close() {
        copies.close();
    }
}
