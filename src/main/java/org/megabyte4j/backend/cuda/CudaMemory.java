package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import jcuda.driver.CUdeviceptr;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.Tensor;

/** A block of a GPU's memory, zeroed, freed when closed. Closing twice is harmless. */
final class CudaMemory implements Memory {
    private final CudaContext context;
    private final long bytes;
    private final NativeHandles.DevicePointer pointer = new NativeHandles.DevicePointer();
    private boolean open = true;

    CudaMemory(CudaContext context, long bytes) {
        context.use();
        this.context = context;
        this.bytes = bytes;
        check(JCudaDriver.cuMemAlloc(pointer, bytes), "cuMemAlloc");
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

    /** As {@link #address}, for the driver's copies. */
    static CUdeviceptr pointer(CudaContext context, Tensor tensor) {
        return of(context, tensor).pointer.withByteOffset(tensor.offset());
    }

    private static CudaMemory of(CudaContext context, Tensor tensor) {
        if (!(tensor.memory() instanceof CudaMemory memory) || memory.context != context) {
            throw new IllegalArgumentException("the tensor " + tensor + " lies on another device");
        }
        if (!memory.open) {
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
        if (open) {
            context.use();
            open = false;
            context.release(this);
            check(JCudaDriver.cuMemFree(pointer), "cuMemFree");
        }
    }
}
