package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.lang.foreign.MemorySegment;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * A GPU of NVIDIA, through CUDA's driver. Work is enqueued on one stream and the host goes on; {@link #read} and
 * {@link #synchronize} wait. Used by the thread that opened it only.
 */
public final class CudaBackend implements Backend {
    private static final long STAGING_BYTES = 4 << 20;

    private final CudaContext context;
    private final CudaKernels kernels;
    private final PinnedMemory staging;
    private final boolean simulated;

    private CudaBackend(CudaContext context, boolean simulated) {
        this.context = context;
        this.simulated = simulated;
        kernels = new CudaKernels(new KernelLoader(context));
        staging = context.pinned(STAGING_BYTES);
    }

    /** The first GPU. */
    public static CudaBackend open() {
        return open(0);
    }

    /**
     * @param ordinal the GPU's number, from 0
     * @throws CudaUnavailableException if there is no such GPU, no driver, or one that is too old
     */
    public static CudaBackend open(int ordinal) {
        return open(CudaDriver.open(), ordinal, SimulatedDevice.isLoaded());
    }

    /**
     * The simulated device, for tests: kernels run on the processor.
     *
     * @throws org.megabyte4j.MegabyteException if it is not built
     */
    public static CudaBackend openSimulated() {
        SimulatedDevice.load();
        return open(CudaDriver.open(), 0, true);
    }

    private static CudaBackend open(CudaDriver driver, int ordinal, boolean simulated) {
        CudaContext context = CudaContext.open(driver, ordinal);
        try {
            return new CudaBackend(context, simulated);
        } catch (RuntimeException | Error e) {
            context.close();
            throw e;
        }
    }

    @Override
    public String name() {
        return simulated ? "simulated" : "cuda:" + context.device().ordinal();
    }

    @Override
    public String description() {
        CudaDevice device = context.device();
        return device.name() + ", compute capability " + device.capability() + ", " + gibibytes(device.memory())
                + ", driver for CUDA " + CudaDriver.written(context.driver().version());
    }

    /** For the tests of kernels alone. */
    CudaKernels kernels() {
        return kernels;
    }

    CudaContext context() {
        return context;
    }

    @Override
    public Ops plan(MemoryPlan plan, Consumer<Ops> program) {
        context.use();
        CudaWorkspaceMeter meter = new CudaWorkspaceMeter(kernels);
        program.accept(meter);
        return new CudaOps(kernels, plan.scratch("cuda workspace", DType.U8, meter.bytes()));
    }

    @Override
    public void allocate(MemoryPlan... plans) {
        Map<MemoryPlan.Category, Long> parts = MemoryPlan.bytesByCategory(plans);
        long needed = parts.values().stream().reduce(0L, Math::addExact);
        long free = context.freeMemory();
        if (needed > free) {
            throw new OutOfMemoryException(notEnough(parts, needed, free));
        }
        MemoryPlan.allocate(this::allocate, plans);
    }

    /** What a user reads first when a model is too large for the GPU. */
    static String notEnough(Map<MemoryPlan.Category, Long> sizes, long needed, long free) {
        String parts = sizes.entrySet().stream()
                .map(e -> e.getKey().name().toLowerCase(Locale.ROOT) + " " + gibibytes(e.getValue()))
                .collect(Collectors.joining(", "));
        return "not enough memory on the GPU: " + gibibytes(needed) + " needed (" + parts + "), " + gibibytes(free)
                + " free; use a smaller --batch or --seq-len, or a smaller model";
    }

    private static String gibibytes(long bytes) {
        return String.format(Locale.ROOT, "%.2f GiB", bytes / (double) (1L << 30));
    }

    @Override
    public Memory allocate(long bytes) {
        return new CudaMemory(context, bytes);
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        checkSize(to, from);
        CUdeviceptr device = CudaMemory.pointer(context, to);
        for (long done = 0; done < from.byteSize(); done += STAGING_BYTES) {
            long now = Math.min(STAGING_BYTES, from.byteSize() - done);
            context.synchronize();
            MemorySegment.copy(from, done, staging.segment(), 0, now);
            check(JCudaDriver.cuMemcpyHtoDAsync(device.withByteOffset(done), staging.pointer(), now, context.compute()),
                    "cuMemcpyHtoDAsync");
        }
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        checkSize(from, to);
        CUdeviceptr device = CudaMemory.pointer(context, from);
        for (long done = 0; done < to.byteSize(); done += STAGING_BYTES) {
            long now = Math.min(STAGING_BYTES, to.byteSize() - done);
            context.synchronize();
            check(JCudaDriver.cuMemcpyDtoHAsync(staging.pointer(), device.withByteOffset(done), now, context.compute()),
                    "cuMemcpyDtoHAsync");
            context.synchronize();
            MemorySegment.copy(staging.segment(), 0, to, done, now);
        }
    }

    private static void checkSize(Tensor tensor, MemorySegment host) {
        if (host.byteSize() != tensor.bytes()) {
            throw new IllegalArgumentException(host.byteSize() + " bytes do not fit a tensor of " + tensor.bytes()
                    + " bytes, " + tensor);
        }
    }

    @Override
    public boolean supports(DType dtype) {
        return dtype == DType.F32 || dtype == DType.BF16;
    }

    @Override
    public boolean isAsynchronous() {
        return true;
    }

    @Override
    public void synchronize() {
        context.synchronize();
    }

    @Override
    public Runnable record(Runnable work) {
        return new RecordedWork(context, work);
    }

    @Override
    public void close() {
        context.close();
    }
}
