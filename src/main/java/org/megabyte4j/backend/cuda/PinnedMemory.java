package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.MemorySegment;
import jcuda.Pointer;
import jcuda.driver.JCudaDriver;

/** Page-locked host memory: the GPU copies from and to it by itself. Made by {@link CudaContext}. */
final class PinnedMemory implements AutoCloseable {
    private final NativeHandles.HostPointer pointer = new NativeHandles.HostPointer();
    private final MemorySegment segment;

    PinnedMemory(long bytes) {
        check(JCudaDriver.cuMemHostAlloc(pointer, bytes, 0), "cuMemHostAlloc");
        segment = MemorySegment.ofAddress(pointer.address()).reinterpret(bytes);
    }

    MemorySegment segment() {
        return segment;
    }

    Pointer pointer() {
        return pointer;
    }

    @Override
    public void close() {
        check(JCudaDriver.cuMemFreeHost(pointer), "cuMemFreeHost");
    }
}
