package org.megabyte4j.tensor;

/**
 * A planned piece of memory: known by size before anything is allocated, bound to a block of memory when the plan is
 * allocated.
 */
public final class Region {
    private final String name;
    private final MemoryPlan.Category category;
    private long bytes;
    private Memory memory;
    private long base;

    Region(String name, MemoryPlan.Category category, long bytes) {
        this.name = name;
        this.category = category;
        this.bytes = bytes;
    }

    public String name() {
        return name;
    }

    public MemoryPlan.Category category() {
        return category;
    }

    public long bytes() {
        return bytes;
    }

    void growTo(long wanted) {
        bytes = Math.max(bytes, wanted);
    }

    void bind(Memory memory, long base) {
        this.memory = memory;
        this.base = base;
    }

    boolean isBound() {
        return memory != null;
    }

    Memory memory() {
        if (memory == null) {
            throw new IllegalStateException("region " + name + " is planned but not allocated");
        }
        return memory;
    }

    long base() {
        return base;
    }
}
