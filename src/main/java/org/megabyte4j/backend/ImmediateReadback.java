package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.Tensor;

/** Reads each copy when it is enqueued: for backends whose work is done when it is enqueued. */
final class ImmediateReadback implements Readback {
    private final Backend backend;
    private final Tensor[] scalars;
    private final float[][] kept;
    private final float[] one = new float[1];
    private final MemorySegment oneOnItsWay = MemorySegment.ofArray(one);
    private long enqueued;

    ImmediateReadback(Backend backend, Tensor... scalars) {
        this.backend = backend;
        this.scalars = scalars.clone();
        kept = new float[KEPT][scalars.length];
    }

    @Override
    public long enqueue() {
        float[] values = kept[(int) (enqueued % KEPT)];
        for (int i = 0; i < scalars.length; i++) {
            backend.read(scalars[i], oneOnItsWay);
            values[i] = one[0];
        }
        return enqueued++;
    }

    @Override
    public float value(long copy, int scalar) {
        Readback.require(copy, enqueued);
        return kept[(int) (copy % KEPT)][scalar];
    }

    @Override
    public boolean isReady(long copy) {
        Readback.require(copy, enqueued);
        return true;
    }

    @Override
    public void close() {
    }
}
