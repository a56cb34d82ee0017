package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.ValueLayout;
import jcuda.Pointer;
import jcuda.driver.CUevent;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Copies of scalars in pinned memory, an event behind each. */
final class CudaReadback implements Readback {
    private final CudaContext context;
    private final Tensor[] scalars;
    private final PinnedMemory pinned;       // F32 [KEPT, scalars]
    private final Pointer[][] targets;
    private final CUevent[] arrived = new CUevent[KEPT];
    private long enqueued;
    private boolean open = true;

    CudaReadback(CudaContext context, Tensor... scalars) {
        for (Tensor scalar : scalars) {
            if (scalar.dtype() != DType.F32 || scalar.elements() != 1) {
                throw new IllegalArgumentException("an F32 tensor of one element is needed, this one is " + scalar);
            }
        }
        this.context = context;
        this.scalars = scalars.clone();
        pinned = context.pinned((long) KEPT * scalars.length * Float.BYTES);
        targets = new Pointer[KEPT][scalars.length];
        for (int slot = 0; slot < KEPT; slot++) {
            arrived[slot] = context.event();
            for (int i = 0; i < scalars.length; i++) {
                targets[slot][i] = pinned.pointer().withByteOffset(offset(slot, i));
            }
        }
    }

    private long offset(int slot, int scalar) {
        return ((long) slot * scalars.length + scalar) * Float.BYTES;
    }

    @Override
    public long enqueue() {
        context.use();
        context.refuseWhileCapturing("read");
        int slot = (int) (enqueued % KEPT);
        for (int i = 0; i < scalars.length; i++) {
            check(JCudaDriver.cuMemcpyDtoHAsync(targets[slot][i], CudaMemory.pointer(context, scalars[i], 0),
                    Float.BYTES, context.compute()), "cuMemcpyDtoHAsync");
        }
        check(JCudaDriver.cuEventRecord(arrived[slot], context.compute()), "cuEventRecord");
        return enqueued++;
    }

    @Override
    public boolean isReady(long copy) {
        Readback.require(copy, enqueued);
        context.use();
        int status = JCudaDriver.cuEventQuery(arrived[(int) (copy % KEPT)]);
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check(status, "cuEventQuery");
        return true;
    }

    @Override
    public float value(long copy, int scalar) {
        Readback.require(copy, enqueued);
        context.use();
        int slot = (int) (copy % KEPT);
        context.waitFor(arrived[slot]);
        return pinned.segment().get(ValueLayout.JAVA_FLOAT, offset(slot, scalar));
    }

    @Override
    public void close() {
        if (open && context.isOpen()) {
            context.synchronize();
            for (CUevent event : arrived) {
                context.destroy(event);
            }
            context.release(pinned);
            pinned.close();
        }
        open = false;
    }
}
