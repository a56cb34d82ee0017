package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.MemorySegment;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.tensor.Tensor;

/**
 * The way of host bytes into tensors, beside the computing: into pinned memory by the processor, from there into device
 * memory on the copying stream while the computing stream still works on what came before, and at last into the tensor
 * on the computing stream, in its order. The slots are a ring, so that the host waits only when it is so many pieces
 * ahead of the GPU.
 */
final class Upload {
    /** Pieces on their way at once. A training step sends three. */
    static final int SLOTS = 16;
    /** Of a piece. The ids of a step usually are one. */
    static final long SLOT_BYTES = 1 << 20;

    private final CudaContext context;
    private final CudaMemory device;
    private final PinnedMemory[] pinned = new PinnedMemory[SLOTS];
    private final CUdeviceptr[] staged = new CUdeviceptr[SLOTS];
    private final CUevent[] arrived = new CUevent[SLOTS];
    private final CUevent[] used = new CUevent[SLOTS];
    private long sent;

    Upload(CudaContext context) {
        this.context = context;
        device = new CudaMemory(context, SLOTS * SLOT_BYTES);
        for (int slot = 0; slot < SLOTS; slot++) {
            pinned[slot] = context.pinned(SLOT_BYTES);
            staged[slot] = device.pointer(slot * SLOT_BYTES);
            arrived[slot] = context.event();
            used[slot] = context.event();
        }
        // The staged memory is zeroed on the computing stream, which the first copies must not overtake.
        context.synchronize();
    }

    /** Enqueues the copy; {@code from} may be changed as soon as this returns. */
    void send(MemorySegment from, Tensor to) {
        context.use();
        context.refuseWhileCapturing("written");
        for (long done = 0; done < from.byteSize(); done += SLOT_BYTES) {
            sendPiece(from, done, Math.min(SLOT_BYTES, from.byteSize() - done), CudaMemory.pointer(context, to, done));
        }
    }

    private void sendPiece(MemorySegment from, long offset, long bytes, CUdeviceptr to) {
        int slot = (int) (sent % SLOTS);
        if (sent >= SLOTS) {
            context.waitFor(used[slot]);
        }
        MemorySegment.copy(from, offset, pinned[slot].segment(), 0, bytes);
        check(JCudaDriver.cuMemcpyHtoDAsync(staged[slot], pinned[slot].pointer(), bytes, context.copies()),
                "cuMemcpyHtoDAsync");
        check(JCudaDriver.cuEventRecord(arrived[slot], context.copies()), "cuEventRecord");
        check(JCudaDriver.cuStreamWaitEvent(context.compute(), arrived[slot], 0), "cuStreamWaitEvent");
        check(JCudaDriver.cuMemcpyDtoDAsync(to, staged[slot], bytes, context.compute()), "cuMemcpyDtoDAsync");
        check(JCudaDriver.cuEventRecord(used[slot], context.compute()), "cuEventRecord");
        sent++;
    }
}
