package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.ffi.MissingLibraryException;
import org.megabyte4j.ffi.OpenBlas;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;
import org.slf4j.LoggerFactory;

/**
 * The backend that works on any machine: float32, OpenBLAS for matrix products, Java with vector instructions for the
 * rest, all cores. Results are the same bits each time for a fixed number of threads.
 */
public final class CpuBackend implements Backend {
    private final Workers workers;
    private final Kernels kernels;
    private final Gemm gemm;
    private final Set<CpuMemory> held = ConcurrentHashMap.newKeySet();

    private CpuBackend(Workers workers, Kernels kernels, Gemm gemm) {
        this.workers = workers;
        this.kernels = kernels;
        this.gemm = gemm;
    }

    /** A backend with one thread for each processor that this process may use. */
    public static CpuBackend open() {
        return open(Runtime.getRuntime().availableProcessors());
    }

    /**
     * @param threads how many threads compute, the calling one included
     * @throws MegabyteException if {@code threads} is less than 1 or beyond reason
     */
    public static CpuBackend open(int threads) {
        if (threads < 1 || threads > 1024) {
            throw new MegabyteException("--threads " + threads + " is not possible; use 1 to 1024, "
                    + Runtime.getRuntime().availableProcessors() + " for this machine");
        }
        Kernels kernels = Kernels.best();
        return open(threads, kernels, bestGemm(kernels));
    }

    /** For tests: any provider with any other. */
    static CpuBackend open(int threads, Kernels kernels, Gemm gemm) {
        return new CpuBackend(new Workers(threads), kernels, gemm);
    }

    private static Gemm bestGemm(Kernels kernels) {
        try {
            return new OpenBlasGemm(OpenBlas.open());
        } catch (MissingLibraryException e) {
            LoggerFactory.getLogger(CpuBackend.class).warn("matrix products run in Java, which is slow: {}",
                    e.getMessage());
            return new JavaGemm(kernels);
        }
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public boolean supports(DType dtype, DType weights) {
        return dtype == DType.F32 && (weights == DType.F32 || weights == DType.BF16);
    }

    @Override
    public String description() {
        return workers.threads() + (workers.threads() == 1 ? " thread, " : " threads, ") + kernels.name() + ", "
                + gemm.description();
    }

    /** Bytes of memory that this backend has handed out and not got back. */
    public long heldBytes() {
        return held.stream().mapToLong(CpuMemory::bytes).sum();
    }

    @Override
    public Ops plan(MemoryPlan plan, Consumer<Ops> program) {
        WorkspaceMeter meter = new WorkspaceMeter(workers.threads());
        program.accept(meter);
        return new CpuOps(workers, kernels, gemm, plan.scratch("cpu workspace", DType.F32, meter.elements()));
    }

    @Override
    public void allocate(MemoryPlan... plans) {
        Map<MemoryPlan.Category, Long> parts = MemoryPlan.bytesByCategory(plans);
        long free = freeMemory();
        if (parts.values().stream().reduce(0L, Math::addExact) > free) {
            throw OutOfMemoryException.ofPlan("", parts, free);
        }
        MemoryPlan.allocate(this::allocate, plans);
    }

    /** Memory that can be had without swapping, within the limits of a container. */
    private static long freeMemory() {
        var system = ManagementFactory.getPlatformMXBean(com.sun.management.OperatingSystemMXBean.class);
        return Math.max(system.getFreeMemorySize(), AvailableMemory.ofLinux());
    }

    @Override
    public Memory allocate(long bytes) {
        try {
            return new CpuMemory(bytes, held);
        } catch (OutOfMemoryError e) {
            throw OutOfMemoryException.ofBlock("", "the system", bytes);
        }
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        Backend.checkSize(to, from);
        CpuTensors.segment(to).copyFrom(from);
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        Backend.checkSize(from, to);
        to.copyFrom(CpuTensors.segment(from));
    }

    @Override
    public void synchronize() {
    }

    @Override
    public void close() {
        workers.close();
        held.forEach(CpuMemory::close);
    }
}
