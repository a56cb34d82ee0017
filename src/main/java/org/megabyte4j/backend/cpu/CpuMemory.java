package org.megabyte4j.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;
import org.megabyte4j.tensor.Memory;

/** A block of off-heap memory, freed when closed. Closing twice is harmless. */
final class CpuMemory implements Memory {
    /** Start of a block; a page, so that large blocks can use large ones. */
    private static final long ALIGNMENT = 4096;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment segment;
    private final AtomicLong held;
    private boolean closed;

    /** @param held counts the bytes that a backend holds */
    CpuMemory(long bytes, AtomicLong held) {
        segment = arena.allocate(bytes, ALIGNMENT);
        this.held = held;
        held.addAndGet(bytes);
    }

    MemorySegment segment() {
        return segment;
    }

    @Override
    public long bytes() {
        return segment.byteSize();
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            held.addAndGet(-segment.byteSize());
            arena.close();
        }
    }
}
