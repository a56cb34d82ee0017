package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.Tensor;

/** Reads each copy when it is enqueued: for backends whose work is done when it is enqueued. */
final class ImmediateIntReadback implements IntReadback {
    private final Backend backend;
    private final Tensor tensor;
    private final int[][] kept;
    private long enqueued;

    ImmediateIntReadback(Backend backend, Tensor tensor) {
        this.backend = backend;
        this.tensor = tensor;
        kept = new int[KEPT][Math.toIntExact(tensor.elements())];
    }

    @Override
    public long enqueue() {
        backend.read(tensor, MemorySegment.ofArray(kept[(int) (enqueued % KEPT)]));
        return enqueued++;
    }

    @Override
    public void read(long copy, int[] to) {
        Readback.require(copy, enqueued);
        System.arraycopy(kept[(int) (copy % KEPT)], 0, to, 0, to.length);
    }

    @Override
    public void close() {
    }
}
