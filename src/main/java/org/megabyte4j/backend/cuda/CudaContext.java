package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.backend.Backend;

/**
 * A GPU in use by one thread: its primary context, the stream that computes and the stream that copies, and everything
 * taken from them, which {@link #close} gives back. The thread that opens it is the only one that may use it.
 */
final class CudaContext implements AutoCloseable {
    /** The context that the driver's calls of a thread go to. */
    private static final ThreadLocal<CudaContext> CURRENT = new ThreadLocal<>();

    private final CudaDriver driver;
    private final CudaDevice device;
    private final CUdevice handle;
    private final CUcontext context = new CUcontext();
    private final Thread owner = Thread.currentThread();
    private final NativeHandles.Stream compute = new NativeHandles.Stream();
    private final NativeHandles.Stream copies = new NativeHandles.Stream();
    private final Set<AutoCloseable> held = new LinkedHashSet<>();
    private final Map<CUevent, AutoCloseable> events = new IdentityHashMap<>();
    private boolean open = true;
    private boolean capturing;

    private CudaContext(CudaDriver driver, CudaDevice device) {
        this.driver = driver;
        this.device = device;
        handle = CudaDriver.handle(device.ordinal());
        check(JCudaDriver.cuDevicePrimaryCtxRetain(context, handle), "cuDevicePrimaryCtxRetain");
        try {
            use();
            create(compute);
            create(copies);
        } catch (RuntimeException e) {
            try {
                close();
            } catch (RuntimeException again) {
                e.addSuppressed(again);
            }
            throw e;
        }
    }

    private void create(CUstream stream) {
        check(JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
        hold(() -> check(JCudaDriver.cuStreamDestroy(stream), "cuStreamDestroy"));
    }

    static CudaContext open(CudaDriver driver, int ordinal) {
        return new CudaContext(driver, driver.device(ordinal));
    }

    /**
     * Makes this context the one that the driver's calls of this thread go to.
     *
     * @throws IllegalStateException in another thread than the one that opened it, or when it is closed
     */
    void use() {
        requireOwner();
        if (!open) {
            throw new IllegalStateException("the CUDA backend is closed");
        }
        if (CURRENT.get() != this) {
            check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
            CURRENT.set(this);
        }
    }

    private void requireOwner() {
        if (Thread.currentThread() != owner) {
            throw new IllegalStateException("the GPU was opened by the thread " + owner.getName()
                    + " and cannot be used by the thread " + Thread.currentThread().getName()
                    + "; open a backend in each thread, or hand the work over");
        }
    }

    /** GPU and driver, for which alone measured times hold. */
    String machine() {
        return device.name() + ", driver " + CudaDriver.written(driver.version());
    }

    CudaDevice device() {
        return device;
    }

    CudaDriver driver() {
        return driver;
    }

    /** The stream that everything is computed on, in order. */
    CUstream compute() {
        return compute;
    }

    /** {@link #compute} as the {@code CUstream} that other libraries take. */
    long computeAddress() {
        return compute.address();
    }

    /** The stream on which host memory comes in beside the computing. */
    CUstream copies() {
        return copies;
    }

    boolean isOpen() {
        return open;
    }

    /** Closes it with the context, unless it is released before. */
    <T extends AutoCloseable> T hold(T resource) {
        held.add(resource);
        return resource;
    }

    void release(AutoCloseable resource) {
        held.remove(resource);
    }

    /** Bytes of the GPU's memory that nobody has taken. */
    long freeMemory() {
        Backend.MemoryUse use = memoryUse();
        return use.total() - use.taken();
    }

    /** Bytes of the GPU. */
    Backend.MemoryUse memoryUse() {
        use();
        long[] free = new long[1];
        long[] total = new long[1];
        check(JCudaDriver.cuMemGetInfo(free, total), "cuMemGetInfo");
        return new Backend.MemoryUse(total[0] - free[0], total[0]);
    }

    /** An event that only orders; it is destroyed with the context. */
    CUevent event() {
        use();
        CUevent event = new CUevent();
        check(JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        events.put(event, hold(() -> check(JCudaDriver.cuEventDestroy(event), "cuEventDestroy")));
        return event;
    }

    /** Destroys one before the context does. */
    void destroy(CUevent event) {
        release(events.remove(event));
        check(JCudaDriver.cuEventDestroy(event), "cuEventDestroy");
    }

    /** Waits for what lies before an event in its stream, if it is not done already. */
    void waitFor(CUevent event) {
        int status = JCudaDriver.cuEventQuery(event);
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            check(JCudaDriver.cuEventSynchronize(event), "cuEventSynchronize");
        } else {
            check(status, "cuEventQuery");
        }
    }

    /** Whether what is enqueued on {@link #compute} is noted in a graph instead of run. */
    void setCapturing(boolean capturing) {
        this.capturing = capturing;
    }

    /** @throws IllegalStateException if recorded work asks for what a graph cannot hold */
    void refuseWhileCapturing(String what) {
        if (capturing) {
            throw new IllegalStateException("a tensor is " + what
                    + " by recorded work, which may only call operations");
        }
    }

    /** Host memory that the GPU copies from and to by itself; it is freed with the context. */
    PinnedMemory pinned(long bytes) {
        use();
        return hold(new PinnedMemory(bytes));
    }

    /** Waits for everything that was enqueued. */
    void synchronize() {
        use();
        check(JCudaDriver.cuStreamSynchronize(copies), "cuStreamSynchronize");
        check(JCudaDriver.cuStreamSynchronize(compute), "cuStreamSynchronize");
    }

    /** Waits, then frees all. What fails on the way does not keep the rest; the first failure is thrown at the end. */
    @Override
    public void close() {
        if (!open) {
            return;
        }
        requireOwner();
        RuntimeException failure = attempt(this::use, null);
        failure = attempt(this::synchronize, failure);
        for (AutoCloseable resource : List.copyOf(held).reversed()) {
            failure = attempt(resource, failure);
        }
        held.clear();
        failure = attempt(() -> check(JCudaDriver.cuCtxSetCurrent(new CUcontext()), "cuCtxSetCurrent"), failure);
        CURRENT.remove();
        failure = attempt(() -> check(JCudaDriver.cuDevicePrimaryCtxRelease(handle), "cuDevicePrimaryCtxRelease"),
                failure);
        open = false;
        if (failure != null) {
            throw failure;
        }
    }

    private static RuntimeException attempt(AutoCloseable step, RuntimeException before) {
        try {
            step.close();
            return before;
        } catch (RuntimeException e) {
            return before == null ? e : before;
        } catch (Exception e) {
            return before == null ? new IllegalStateException(e) : before;
        }
    }
}
