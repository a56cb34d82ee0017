package org.megabyte4j.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.IntReadback;
import org.megabyte4j.backend.LocalModel;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.OutOfMemoryException;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.backend.Stopwatch;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * A GPU of NVIDIA, through CUDA's driver. Work is enqueued on one stream and the host goes on; {@link #read} and
 * {@link #synchronize} wait. Used by the thread that opened it only.
 */
public final class CudaBackend implements Backend {
    private final CudaContext context;
    private final CudaKernels kernels;
    private final Upload upload;
    private final Download download;
    private final boolean simulated;
    private final Fusion fusion;

    private CudaBackend(CudaContext context, Blas blas, Tuning tuning, Tuner tuner, boolean simulated) {
        this.context = context;
        this.simulated = simulated;
        kernels = new CudaKernels(new KernelLoader(context), blas, tuning, tuner);
        upload = new Upload(context);
        download = new Download(context);
        // Whatever is wrong with the PTX or the libraries is said at once, so that --device auto can take the CPU.
        kernels.elementwise();
        kernels.products();
        fusion = CudaFusion.of(context.device(), kernels, simulated);
    }

    private static Tuner tuner(CudaContext context, Tuning tuning) {
        return tuning == Tuning.OFF ? Tuner.off() : new Tuner(Tuner.on(context),
                new TuningCache(TuningCache.usualFile(), context.machine(), tuning == Tuning.AGAIN));
    }

    /**
     * The first GPU that the kernels can run on.
     *
     * @throws CudaUnavailableException if there is none, no driver, or one that is too old
     * @throws org.megabyte4j.ffi.MissingLibraryException if there is no library for matrix products
     */
    public static CudaBackend open() {
        return open(Blas.AUTO);
    }

    /** As {@link #open()}, with a certain library for matrix products. */
    public static CudaBackend open(Blas blas) {
        return open(-1, blas, Tuning.ON);
    }

    /**
     * @param ordinal the GPU's number, from 0
     * @throws CudaUnavailableException if there is no such GPU, no driver, or one that is too old
     */
    public static CudaBackend open(int ordinal) {
        return open(ordinal, Blas.AUTO);
    }

    /** As {@link #open(int)}, with a certain library for matrix products. */
    public static CudaBackend open(int ordinal, Blas blas) {
        return open(ordinal, blas, Tuning.ON);
    }

    /**
     * As {@link #open(int, Blas)}.
     *
     * @param ordinal -1 for the first GPU that can be used
     * @param tuning  whether what only this GPU can tell is measured on it
     */
    public static CudaBackend open(int ordinal, Blas blas, Tuning tuning) {
        requireReal();
        CudaDriver driver = CudaDriver.open();
        return open(driver, ordinal < 0 ? driver.firstUsable() : ordinal, blas, tuning, false);
    }

    /** A process has the real libraries or the simulated ones, and those are taken by name alone. */
    private static void requireReal() {
        if (SimulatedDevice.isLoaded()) {
            throw new CudaUnavailableException("this process uses the simulated device, so it cannot use a GPU; start"
                    + " another one for it");
        }
    }

    /**
     * The simulated device, for tests: kernels run on the processor.
     *
     * @throws org.megabyte4j.MegabyteException if it is not built
     */
    public static CudaBackend openSimulated() {
        return openSimulated(Blas.AUTO);
    }

    /** As {@link #openSimulated()}, with the stand-in of a certain library for matrix products. */
    public static CudaBackend openSimulated(Blas blas) {
        SimulatedDevice.load();
        return open(CudaDriver.open(), 0, blas, true);
    }

    /** Times of the simulated device mean nothing, so it takes the usual ways. */
    static CudaBackend open(CudaDriver driver, int ordinal, Blas blas, boolean simulated) {
        return open(driver, ordinal, blas, simulated ? Tuning.OFF : Tuning.ON, simulated);
    }

    /** For tests: the simulated device, with choices that are made by another tuner. */
    static CudaBackend open(CudaDriver driver, Function<CudaContext, Tuner> tuner) {
        return open(driver, 0, Blas.AUTO, Tuning.OFF, tuner, true);
    }

    private static CudaBackend open(CudaDriver driver, int ordinal, Blas blas, Tuning tuning, boolean simulated) {
        return open(driver, ordinal, blas, tuning, context -> tuner(context, tuning), simulated);
    }

    private static CudaBackend open(CudaDriver driver, int ordinal, Blas blas, Tuning tuning,
            Function<CudaContext, Tuner> tuner, boolean simulated) {
        CudaContext context = CudaContext.open(driver, ordinal);
        try {
            return new CudaBackend(context, blas, tuning, tuner.apply(context), simulated);
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
        return context.device().description() + ", driver for CUDA " + CudaDriver.written(context.driver().version())
                + ", matrix products by " + kernels.products().description();
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
        long free = context.freeMemory();
        if (parts.values().stream().reduce(0L, Math::addExact) > free) {
            throw OutOfMemoryException.ofPlan(" on the GPU", parts, free);
        }
        kernels.decide();
        MemoryPlan.allocate(this::allocate, plans);
    }

    @Override
    public Memory allocate(long bytes) {
        return new CudaMemory(context, bytes);
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        Backend.checkSize(to, from);
        upload.send(from, to);
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        Backend.checkSize(from, to);
        download.fetch(from, to);
    }

    @Override
    public MemoryUse memoryUse() {
        return context.memoryUse();
    }

    @Override
    public Map<String, String> choices() {
        return kernels.tuner().taken();
    }

    /** The types in which there are kernels for everything. */
    static boolean computesIn(DType dtype) {
        return dtype == DType.F32 || dtype == DType.BF16;
    }

    @Override
    public boolean supports(DType dtype) {
        return computesIn(dtype);
    }

    @Override
    public Fusion fusion() {
        return fusion;
    }

    @Override
    public boolean isAsynchronous() {
        return true;
    }

    @Override
    public boolean decodesPatches(LocalModel model, long batch, int patchSize) {
        return kernels.localDecode().fits(model, batch, patchSize);
    }

    @Override
    public void synchronize() {
        context.synchronize();
    }

    @Override
    public Recording record(Runnable work) {
        return new RecordedWork(context, work);
    }

    @Override
    public Readback readback(Tensor... scalars) {
        return new CudaReadback(context, scalars);
    }

    @Override
    public IntReadback intReadback(Tensor ints) {
        return new CudaIntReadback(context, ints);
    }

    @Override
    public Stopwatch stopwatch() {
        context.use();
        return new EventStopwatch(context);
    }

    /**
     * How many kernels, copies and fills work enqueues, those of libraries included. Nothing runs.
     *
     * @param work only calls operations, and has run before
     */
    public long countLaunches(Runnable work) {
        return CudaGraph.count(context, work);
    }

    @Override
    public void close() {
        context.close();
    }
}
