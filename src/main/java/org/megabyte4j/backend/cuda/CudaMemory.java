package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.Tensor;

/** A block of a GPU's memory, zeroed, freed when closed. Closing twice is harmless. */
final class CudaMemory implements Memory {
    private static final int KEPT = 16;

    private final CudaContext context;
    private final long bytes;
    private final NativeHandles.DevicePointer pointer = new NativeHandles.DevicePointer();
    private final long[] keptOffsets = new long[KEPT];
    private final CUdeviceptr[] keptPointers = new CUdeviceptr[KEPT];
    private int nextKept;
    private boolean open = true;

    /** @throws OutOfMemoryException if the driver has no such block */
    CudaMemory(CudaContext context, long bytes) {
        context.use();
        this.context = context;
        this.bytes = bytes;
        int status = JCudaDriver.cuMemAlloc(pointer, bytes);
        if (status == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
            throw OutOfMemoryException.ofBlock(" on the GPU", "the driver", bytes);
        }
        check(status, "cuMemAlloc");
        context.hold(this);
        check(JCudaDriver.cuMemsetD8Async(pointer, (byte) 0, bytes, context.compute()), "cuMemsetD8Async");
    }

    /** The device address of the block. */
    long address() {
        return pointer.address();
    }

    /** The device address of a tensor's first element, 0 for none and for a tensor without elements. */
    static long address(CudaContext context, Tensor tensor) {
        if (tensor == null || tensor.bytes() == 0) {
            return 0;
        }
        return of(context, tensor).pointer.address() + tensor.offset();
    }

    /** As {@link #address}, for the driver's copies, from byte {@code offset} of the tensor on. */
    static CUdeviceptr pointer(CudaContext context, Tensor tensor, long offset) {
        return of(context, tensor).pointer(tensor.offset() + offset);
    }

    /** A place in the block. Those asked for last are kept, so that a step that repeats makes no garbage. */
    CUdeviceptr pointer(long offset) {
        for (int i = 0; i < KEPT; i++) {
            if (keptPointers[i] != null && keptOffsets[i] == offset) {
                return keptPointers[i];
            }
        }
        CUdeviceptr fresh = pointer.withByteOffset(offset);
        keptOffsets[nextKept] = offset;
        keptPointers[nextKept] = fresh;
        nextKept = (nextKept + 1) % KEPT;
        return fresh;
    }

    private static CudaMemory of(CudaContext context, Tensor tensor) {
        if (!(tensor.memory() instanceof CudaMemory memory) || memory.context != context) {
            throw new IllegalArgumentException("the tensor " + tensor + " lies on another device");
        }
        if (!memory.open) {
            context.use();   // that the backend is closed says more
            throw new IllegalStateException("this memory has been freed");
        }
        return memory;
    }

    @Override
    public long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        if (open && context.isOpen()) {
            context.use();
            open = false;
            context.release(this);
            context.synchronize();
            check(JCudaDriver.cuMemFree(pointer), "cuMemFree");
        }
    }
}
