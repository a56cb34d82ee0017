package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import jcuda.Pointer;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.ffi.CudaLaunchConfig;
import org.megabyte4j.tensor.Tensor;

/**
 * One entry point, described once and launched often:
 *
 * <pre>{@code
 * Kernel fill = loader.module("elementwise").kernel("fill_f32", PTR, I64, F32);
 * fill.grid(blocks).block(256).arg(x).arg(n).arg(0f).launch();
 * }</pre>
 *
 * <p>{@link #launch} enqueues on the context's computing stream and makes no garbage. Arguments are checked against the
 * declared types.
 */
final class Kernel {
    private static final long MOST_BLOCKS_X = Integer.MAX_VALUE;
    private static final long MOST_BLOCKS_YZ = 65535;
    private static final int MOST_THREADS = 1024;
    /** {@code CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED} */
    private static final int NON_PORTABLE_CLUSTER_SIZE_ALLOWED = 14;

    private final CudaContext context;
    private final String name;
    private final NativeHandles.Function function;
    private final KernelType[] types;
    private final ByteBuffer values;     // 8 bytes for each argument
    private final ByteBuffer addresses;  // of the values: what cuLaunchKernel takes
    private final Pointer parameters;
    private CudaLaunchConfig attributes; // of launches in clusters; null until there is one

    private int gridX;
    private int gridY;
    private int gridZ;
    private int blockX;
    private int blockY;
    private int blockZ;
    private int sharedBytes;
    private int cluster;
    private int given;

    Kernel(CudaContext context, String name, NativeHandles.Function function, KernelType... types) {
        this.context = context;
        this.name = name;
        this.function = function;
        this.types = types.clone();
        values = ByteBuffer.allocateDirect(Long.BYTES * Math.max(1, types.length)).order(ByteOrder.nativeOrder());
        addresses = ByteBuffer.allocateDirect(values.capacity()).order(ByteOrder.nativeOrder());
        long first = MemorySegment.ofBuffer(values).address();
        for (int i = 0; i < types.length; i++) {
            addresses.putLong(Long.BYTES * i, first + Long.BYTES * i);
        }
        parameters = Pointer.to(addresses);
    }

    /** Allows more dynamic shared memory than the 48 KiB that every GPU gives. Once, when it is described. */
    Kernel maxDynamicShared(int bytes) {
        context.use();
        check(JCudaDriver.cuFuncSetAttribute(function,
                CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes), "cuFuncSetAttribute");
        return this;
    }

    /** Allows clusters of more than the 8 blocks that every GPU of compute capability 9.0 has room for. Once. */
    Kernel largeClusters() {
        context.use();
        check(JCudaDriver.cuFuncSetAttribute(function, NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1), "cuFuncSetAttribute");
        return this;
    }

    /** Begins a launch of so many blocks. */
    Kernel grid(long x) {
        return grid(x, 1, 1);
    }

    Kernel grid(long x, long y) {
        return grid(x, y, 1);
    }

    Kernel grid(long x, long y, long z) {
        if (x < 1 || x > MOST_BLOCKS_X || y < 1 || y > MOST_BLOCKS_YZ || z < 1 || z > MOST_BLOCKS_YZ) {
            throw wrong("a grid of " + x + " x " + y + " x " + z + " blocks is not possible");
        }
        gridX = (int) x;
        gridY = (int) y;
        gridZ = (int) z;
        blockX = 0;
        sharedBytes = 0;
        cluster = 1;
        given = 0;
        return this;
    }

    /** Threads of a block. */
    Kernel block(int x) {
        return block(x, 1, 1);
    }

    Kernel block(int x, int y) {
        return block(x, y, 1);
    }

    Kernel block(int x, int y, int z) {
        if (x < 1 || y < 1 || z < 1 || z > 64 || (long) x * y * z > MOST_THREADS) {
            throw wrong("a block of " + x + " x " + y + " x " + z + " threads is not possible");
        }
        blockX = x;
        blockY = y;
        blockZ = z;
        return this;
    }

    /** Bytes of dynamic shared memory for each block; 0 unless said. */
    Kernel shared(int bytes) {
        sharedBytes = bytes;
        return this;
    }

    /** Blocks of a cluster, neighbours along x, on compute capability 9.0; 1 unless said. */
    Kernel cluster(int blocks) {
        if (blocks < 1 || gridX % blocks != 0) {
            throw wrong("a grid of " + gridX + " blocks in clusters of " + blocks + " is not possible");
        }
        cluster = blocks;
        return this;
    }

    /** How many clusters of the launch that has been begun can run at the same time; 0 for none of this size. */
    int activeClusters() {
        context.use();
        return context.driver().library().activeClusters(configuration(), function.address());
    }

    private CudaLaunchConfig configuration() {
        if (attributes == null) {
            attributes = new CudaLaunchConfig(Arena.ofAuto());
        }
        return attributes.sizes(gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes)
                .stream(context.computeAddress()).cluster(cluster);
    }

    /** The address of a tensor; null is a null pointer. */
    Kernel arg(Tensor tensor) {
        values.putLong(next(KernelType.PTR), CudaMemory.address(context, tensor));
        return this;
    }

    Kernel arg(long value) {
        values.putLong(next(KernelType.I64), value);
        return this;
    }

    Kernel arg(int value) {
        values.putInt(next(KernelType.I32), value);
        return this;
    }

    Kernel arg(float value) {
        values.putFloat(next(KernelType.F32), value);
        return this;
    }

    Kernel arg(double value) {
        values.putDouble(next(KernelType.F64), value);
        return this;
    }

    private int next(KernelType type) {
        if (given == types.length || types[given] != type) {
            throw wrong("argument " + (given + 1) + " is " + type + ", but the parameters are "
                    + Arrays.toString(types));
        }
        return Long.BYTES * given++;
    }

    /** Enqueues it. */
    void launch() {
        if (given != types.length || blockX == 0) {
            throw wrong(blockX == 0 ? "no block is given" : "only " + given + " of " + types.length
                    + " arguments are given");
        }
        context.use();
        if (cluster > 1) {
            context.driver().library().launch(configuration(), function.address(), MemorySegment.ofBuffer(addresses));
        } else {
            check(JCudaDriver.cuLaunchKernel(function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes,
                    context.compute(), parameters, null), "cuLaunchKernel");
        }
        given = 0;
        blockX = 0;
    }

    /** Its {@code CUfunction}, for what launches it without JCuda. */
    long address() {
        return function.address();
    }

    private IllegalStateException wrong(String what) {
        return new IllegalStateException("kernel " + name + ": " + what);
    }

    @Override
    public String toString() {
        return name + Arrays.toString(types);
    }
}
