package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.MemorySegment;
import jcuda.driver.CUevent;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.tensor.Tensor;

/** The way of tensors to the host, through two pinned pieces: one is filled while the other is emptied. */
final class Download {
    private static final int SLOTS = 2;
    private static final long SLOT_BYTES = 4 << 20;

    private final CudaContext context;
    private final PinnedMemory[] pinned = new PinnedMemory[SLOTS];
    private final CUevent[] arrived = new CUevent[SLOTS];

    Download(CudaContext context) {
        this.context = context;
        for (int slot = 0; slot < SLOTS; slot++) {
            pinned[slot] = context.pinned(SLOT_BYTES);
            arrived[slot] = context.event();
        }
    }

    /** Waits for the work enqueued so far and copies. */
    void fetch(Tensor from, MemorySegment to) {
        context.use();
        context.refuseWhileCapturing("read");
        long pieces = (to.byteSize() + SLOT_BYTES - 1) / SLOT_BYTES;
        for (long piece = 0; piece <= pieces; piece++) {
            if (piece < pieces) {
                enqueue(from, piece);
            }
            if (piece > 0) {
                finish(to, piece - 1);
            }
        }
    }

    private void enqueue(Tensor from, long piece) {
        int slot = (int) (piece % SLOTS);
        long offset = piece * SLOT_BYTES;
        check(JCudaDriver.cuMemcpyDtoHAsync(pinned[slot].pointer(), CudaMemory.pointer(context, from, offset),
                Math.min(SLOT_BYTES, from.bytes() - offset), context.compute()), "cuMemcpyDtoHAsync");
        check(JCudaDriver.cuEventRecord(arrived[slot], context.compute()), "cuEventRecord");
    }

    private void finish(MemorySegment to, long piece) {
        int slot = (int) (piece % SLOTS);
        long offset = piece * SLOT_BYTES;
        context.waitFor(arrived[slot]);
        MemorySegment.copy(pinned[slot].segment(), 0, to, offset, Math.min(SLOT_BYTES, to.byteSize() - offset));
    }
}
