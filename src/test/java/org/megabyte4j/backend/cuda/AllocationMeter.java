package org.megabyte4j.backend.cuda;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ForwardingBackend;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.tensor.Tensor;

/** Counts the bytes of Java objects that a backend makes in the calls of a training step. */
final class AllocationMeter extends ForwardingBackend {
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private long bytes;
    private long calls;

    AllocationMeter(Backend to) {
        super(to);
    }

    /** Since {@link #reset}. */
    long bytes() {
        return bytes;
    }

    long calls() {
        return calls;
    }

    void reset() {
        bytes = 0;
        calls = 0;
    }

    private void end(long before) {
        bytes += threads.getCurrentThreadAllocatedBytes() - before;
        calls++;
    }

    private long begin() {
        return threads.getCurrentThreadAllocatedBytes();
    }

    @Override
    public void write(Tensor tensor, MemorySegment from) {
        long before = begin();
        super.write(tensor, from);
        end(before);
    }

    @Override
    public Recording record(Runnable work) {
        Recording recording = super.record(work);
        return new Recording() {
            @Override
            public void run() {
                long before = begin();
                recording.run();
                end(before);
            }

            @Override
            public void close() {
                recording.close();
            }
        };
    }

    @Override
    public Readback readback(Tensor... scalars) {
        Readback readback = super.readback(scalars);
        return new Readback() {
            @Override
            public long enqueue() {
                long before = begin();
                long copy = readback.enqueue();
                end(before);
                return copy;
            }

            @Override
            public float value(long copy, int scalar) {
                long before = begin();
                float value = readback.value(copy, scalar);
                end(before);
                return value;
            }

            @Override
            public boolean isReady(long copy) {
                return readback.isReady(copy);
            }

            @Override
            public void close() {
                readback.close();
            }
        };
    }
}
