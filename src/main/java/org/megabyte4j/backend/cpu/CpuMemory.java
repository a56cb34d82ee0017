package org.megabyte4j.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import org.megabyte4j.ffi.LargePages;
import org.megabyte4j.tensor.Memory;

/** A block of off-heap memory, freed when closed. Closing twice is harmless. */
final class CpuMemory implements Memory {
    /** Start of a small block: whole cache lines, whole vectors. */
    private static final long ALIGNMENT = 64;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment segment;
    private final Set<CpuMemory> held;

    /** @param held the blocks that a backend holds; this one is among them until it is closed */
    CpuMemory(long bytes, Set<CpuMemory> held) {
        segment = bytes < LargePages.SIZE ? arena.allocate(bytes, ALIGNMENT) : LargePages.allocate(bytes, arena);
        this.held = held;
        held.add(this);
    }

    /** @throws IllegalStateException if it has been freed; kernels, which use its address alone, would not see that */
    MemorySegment segment() {
        if (!arena.scope().isAlive()) {
            throw new IllegalStateException("this memory has been freed");
        }
        return segment;
    }

    @Override
    public long bytes() {
        return segment.byteSize();
    }

    @Override
    public void close() {
        if (held.remove(this)) {
            arena.close();
        }
    }
}
