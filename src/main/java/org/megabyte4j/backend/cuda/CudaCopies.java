package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.MemorySegment;
import jcuda.Pointer;
import jcuda.driver.CUevent;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.tensor.Tensor;

/** Copies of a few tensors in pinned memory, side by side, an event behind each of the last so many copies. */
final class CudaCopies implements AutoCloseable {
    private static final int KEPT = Readback.KEPT;

    private final CudaContext context;
    private final Tensor[] tensors;
    private final long bytes;                // of a copy
    private final PinnedMemory pinned;       // [KEPT, bytes]
    private final Pointer[][] targets;
    private final CUevent[] arrived = new CUevent[KEPT];
    private long enqueued;
    private boolean open = true;

    CudaCopies(CudaContext context, Tensor... tensors) {
        this.context = context;
        this.tensors = tensors.clone();
        long sum = 0;
        for (Tensor tensor : tensors) {
            sum += tensor.bytes();
        }
        bytes = sum;
        pinned = context.pinned(KEPT * bytes);
        targets = new Pointer[KEPT][tensors.length];
        for (int slot = 0; slot < KEPT; slot++) {
            arrived[slot] = context.event();
            long offset = slot * bytes;
            for (int i = 0; i < tensors.length; i++) {
                targets[slot][i] = pinned.pointer().withByteOffset(offset);
                offset += tensors[i].bytes();
            }
        }
    }

    /** Enqueues a copy of the tensors as they are then; returns its number, from 0 on. */
    long enqueue() {
        context.use();
        context.refuseWhileCapturing("read");
        int slot = (int) (enqueued % KEPT);
        for (int i = 0; i < tensors.length; i++) {
            check(JCudaDriver.cuMemcpyDtoHAsync(targets[slot][i], CudaMemory.pointer(context, tensors[i], 0),
                    tensors[i].bytes(), context.compute()), "cuMemcpyDtoHAsync");
        }
        check(JCudaDriver.cuEventRecord(arrived[slot], context.compute()), "cuEventRecord");
        return enqueued++;
    }

    boolean isReady(long copy) {
        Readback.require(copy, enqueued);
        context.use();
        int status = JCudaDriver.cuEventQuery(arrived[(int) (copy % KEPT)]);
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check(status, "cuEventQuery");
        return true;
    }

    /** Waits for a copy; it begins at {@link #offset} of the {@link #segment}. */
    void await(long copy) {
        Readback.require(copy, enqueued);
        context.use();
        context.waitFor(arrived[(int) (copy % KEPT)]);
    }

    /** Where copies lie, one after the other. */
    MemorySegment segment() {
        return pinned.segment();
    }

    /** Bytes before a copy. */
    long offset(long copy) {
        return copy % KEPT * bytes;
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
