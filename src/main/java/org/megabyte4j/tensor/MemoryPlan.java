package org.megabyte4j.tensor;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;

/**
 * Every buffer of a program, laid out before any of them exists. Building a model against a plan gives tensors without
 * memory; {@link #allocate} then takes one block per category and binds them all. The plan owns those blocks until it
 * is closed.
 *
 * <p>Buffers start at multiples of 256 bytes. Not thread-safe.
 */
public final class MemoryPlan implements AutoCloseable {
    /** Where every buffer of a plan starts: at a multiple of this many bytes. */
    public static final long ALIGNMENT = 256;

    /** What memory is used for; the rows of the plan's report. */
    public enum Category { PARAMETERS, GRADIENTS, OPTIMIZER, ACTIVATIONS, CACHE, WORKSPACE, INPUTS }

    private final List<Region> regions = new ArrayList<>();
    private final Map<String, Region> shared = new LinkedHashMap<>();
    private final List<Memory> blocks = new ArrayList<>();
    private boolean allocated;

    /** A buffer of its own. */
    public Tensor tensor(Category category, String name, DType dtype, long... shape) {
        Region region = new Region(name, category, 0);
        region.growTo(Math.multiplyExact(Tensor.elements(shape), (long) dtype.bytes()));
        addRegion(region);
        return new Tensor(region, 0, dtype, shape);
    }

    /**
     * Scratch memory: every request under one name gets the same bytes, as many as the largest request needs. What one
     * user leaves there the next may overwrite.
     */
    public Tensor scratch(String name, DType dtype, long... shape) {
        checkOpen();
        Region region = shared.computeIfAbsent(name, key -> {
            Region fresh = new Region(key, Category.WORKSPACE, 0);
            addRegion(fresh);
            return fresh;
        });
        region.growTo(Math.multiplyExact(Tensor.elements(shape), (long) dtype.bytes()));
        return new Tensor(region, 0, dtype, shape);
    }

    private void addRegion(Region region) {
        checkOpen();
        regions.add(region);
    }

    private void checkOpen() {
        if (allocated) {
            throw new IllegalStateException("the plan is allocated; buffers can no longer be added");
        }
    }

    /** Bytes of one category, alignment included. */
    public long bytes(Category category) {
        return regions.stream().filter(r -> r.category() == category).mapToLong(r -> aligned(r.bytes()))
                .reduce(0, Math::addExact);
    }

    /** Bytes of the whole plan, alignment included. */
    public long bytes() {
        return regions.stream().mapToLong(r -> aligned(r.bytes())).reduce(0, Math::addExact);
    }

    /** Bytes by category, without the empty ones. */
    public Map<Category, Long> bytesByCategory() {
        Map<Category, Long> sizes = new EnumMap<>(Category.class);
        for (Category category : Category.values()) {
            long bytes = bytes(category);
            if (bytes > 0) {
                sizes.put(category, bytes);
            }
        }
        return sizes;
    }

    /** Bytes of several plans by category, without the empty ones. */
    public static Map<Category, Long> bytesByCategory(MemoryPlan... plans) {
        Map<Category, Long> sizes = new EnumMap<>(Category.class);
        for (MemoryPlan plan : plans) {
            plan.bytesByCategory().forEach((category, bytes) -> sizes.merge(category, bytes, Math::addExact));
        }
        return sizes;
    }

    /** All buffers in the order in which they were planned. */
    public List<Region> regions() {
        return List.copyOf(regions);
    }

    /**
     * Takes the memory, one zero-filled block per category, and binds every buffer to it.
     *
     * @param allocator gives a block of so many bytes; if it throws, what was taken before is given back
     */
    public void allocate(LongFunction<? extends Memory> allocator) {
        checkOpen();
        try {
            for (Category category : bytesByCategory().keySet()) {
                Memory block = allocator.apply(bytes(category));
                blocks.add(block);
                long base = 0;
                for (Region region : regions) {
                    if (region.category() == category) {
                        region.bind(block, base);
                        base += aligned(region.bytes());
                    }
                }
            }
            for (Region region : regions) {
                if (!region.isBound()) {
                    region.bind(EmptyMemory.INSTANCE, 0);
                }
            }
            allocated = true;
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    /** Allocates several plans; if one fails, none keeps memory. */
    public static void allocate(LongFunction<? extends Memory> allocator, MemoryPlan... plans) {
        int done = 0;
        try {
            for (; done < plans.length; done++) {
                plans[done].allocate(allocator);
            }
        } catch (RuntimeException | Error e) {
            while (--done >= 0) {
                plans[done].close();
            }
            throw e;
        }
    }

    /** Gives all memory back. The tensors of the plan must not be used any more. Closing twice is harmless. */
    @Override
    public void close() {
        blocks.reversed().forEach(Memory::close);
        blocks.clear();
    }

    private static long aligned(long bytes) {
        return Math.addExact(bytes, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    /** What a buffer without elements is bound to. */
    private enum EmptyMemory implements Memory {
        INSTANCE;

        @Override
        public long bytes() {
            return 0;
        }

        @Override
        public void close() {
        }
    }
}
