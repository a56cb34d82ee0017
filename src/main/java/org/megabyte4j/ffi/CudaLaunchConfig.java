package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** {@code CUlaunchConfig} of cuda.h, with room for one attribute: the cluster. Filled anew for each launch. */
public final class CudaLaunchConfig {
    private static final long CONFIG_BYTES = 56;
    private static final long STREAM = 32;
    private static final long ATTRIBUTES = 40;
    private static final long ATTRIBUTE_COUNT = 48;
    private static final long ATTRIBUTE_BYTES = 72;
    private static final long ATTRIBUTE_VALUE = 8;
    private static final int CLUSTER_DIMENSION = 4;

    private final MemorySegment config;
    private final MemorySegment attribute;

    /** @param arena owns the memory */
    public CudaLaunchConfig(Arena arena) {
        config = arena.allocate(CONFIG_BYTES, 8);
        attribute = arena.allocate(ATTRIBUTE_BYTES, 8);
        attribute.set(JAVA_INT, 0, CLUSTER_DIMENSION);
        config.set(JAVA_LONG, ATTRIBUTES, attribute.address());
    }

    /** Blocks, and the threads and bytes of dynamic shared memory of each. */
    public CudaLaunchConfig sizes(int gridX, int gridY, int gridZ, int blockX, int blockY, int blockZ,
            int sharedBytes) {
        config.setAtIndex(JAVA_INT, 0, gridX);
        config.setAtIndex(JAVA_INT, 1, gridY);
        config.setAtIndex(JAVA_INT, 2, gridZ);
        config.setAtIndex(JAVA_INT, 3, blockX);
        config.setAtIndex(JAVA_INT, 4, blockY);
        config.setAtIndex(JAVA_INT, 5, blockZ);
        config.setAtIndex(JAVA_INT, 6, sharedBytes);
        return this;
    }

    /** @param stream a {@code CUstream} */
    public CudaLaunchConfig stream(long stream) {
        config.set(JAVA_LONG, STREAM, stream);
        return this;
    }

    /** Blocks that run together and see each other's shared memory, on compute capability 9.0; 1 for none. */
    public CudaLaunchConfig cluster(int x) {
        attribute.set(JAVA_INT, ATTRIBUTE_VALUE, x);
        attribute.set(JAVA_INT, ATTRIBUTE_VALUE + 4, 1);
        attribute.set(JAVA_INT, ATTRIBUTE_VALUE + 8, 1);
        config.set(JAVA_INT, ATTRIBUTE_COUNT, x > 1 ? 1 : 0);
        return this;
    }

    MemorySegment segment() {
        return config;
    }
}
