package org.megabyte4j.jmh;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** The device of a benchmark and what lies on it: tensors first, then {@link #start}, then work. */
final class Program implements AutoCloseable {
    /** Values that are drawn; larger tensors repeat them. */
    private static final int DRAWN = 1 << 20;
    private static final float[] GAUSSIAN = new float[DRAWN];

    static {
        Random random = new Random(1);
        for (int i = 0; i < DRAWN; i++) {
            GAUSSIAN[i] = (float) random.nextGaussian();
        }
    }

    private final Backend backend;
    private final boolean closesBackend;
    private final MemoryPlan plan = new MemoryPlan();
    private final List<Runnable> fillings = new ArrayList<>();

    /** On the CPU. */
    Program() {
        this(open(), true);
    }

    private Program(Backend backend, boolean closesBackend) {
        this.backend = backend;
        this.closesBackend = closesBackend;
    }

    /** For tensors that only have shapes. */
    static Program withoutDevice() {
        return new Program(null, false);
    }

    /** On a device that others use too. */
    static Program on(Backend backend) {
        return new Program(backend, false);
    }

    /** The CPU with {@code -Dmegabyte4j.threads=N}, or else with all processors. */
    static Backend open() {
        return CpuBackend.open(Integer.getInteger("megabyte4j.threads", Runtime.getRuntime().availableProcessors()));
    }

    /** The device that {@code -Dmegabyte4j.device} names: {@code cuda}, which is the default, or {@code simulated}. */
    static CudaBackend openGpu() {
        return openGpu(System.getProperty("megabyte4j.device", "cuda"));
    }

    static CudaBackend openGpu(String device) {
        return switch (device) {
            case "cuda" -> CudaBackend.open();
            case "simulated" -> CudaBackend.openSimulated();
            default -> throw new IllegalArgumentException("unknown device " + device
                    + "; this runs on cuda or simulated");
        };
    }

    /** {@code "64x256"} as its numbers. */
    static int[] sizes(String text) {
        return Arrays.stream(text.split("x")).mapToInt(Integer::parseInt).toArray();
    }

    Backend backend() {
        return backend;
    }

    /** Normally distributed values, the same in each run; F32. */
    Tensor values(long... shape) {
        return values(DType.F32, shape);
    }

    /** Normally distributed values of F32 or BF16, the same in each run, a million of them over and over. */
    Tensor values(DType dtype, long... shape) {
        Tensor tensor = empty(dtype, shape);
        int first = 7919 * fillings.size() % DRAWN;
        fillings.add(() -> {
            int most = (int) Math.min(DRAWN, tensor.elements());
            Object block = dtype == DType.F32 ? new float[most] : new short[most];
            for (int i = 0; i < most; i++) {
                float value = GAUSSIAN[(first + i) % DRAWN];
                if (block instanceof float[] floats) {
                    floats[i] = value;
                } else {
                    ((short[]) block)[i] = (short) (Float.floatToRawIntBits(value) + 0x8000 >>> 16);
                }
            }
            MemorySegment all = block instanceof float[] floats ? MemorySegment.ofArray(floats)
                    : MemorySegment.ofArray((short[]) block);
            for (long from = 0; from < tensor.elements(); from += most) {
                long count = Math.min(most, tensor.elements() - from);
                backend.write(tensor.part(from, count), all.asSlice(0, count * dtype.bytes()));
            }
        });
        return tensor;
    }

    /** Ids in {@code [0, bound)}, the same in each run. */
    Tensor ids(int bound, long... shape) {
        Tensor tensor = empty(DType.I32, shape);
        int seed = fillings.size();
        fillings.add(() -> backend.write(tensor,
                new Random(seed).ints(tensor.elements(), 0, bound).toArray()));
        return tensor;
    }

    /** Given values. */
    Tensor of(int... values) {
        Tensor tensor = empty(DType.I32, values.length);
        fillings.add(() -> backend.write(tensor, values));
        return tensor;
    }

    Tensor of(float... values) {
        Tensor tensor = empty(DType.F32, values.length);
        fillings.add(() -> backend.write(tensor, values));
        return tensor;
    }

    /** Zeros, for what an operation writes. */
    Tensor empty(DType dtype, long... shape) {
        return plan.tensor(MemoryPlan.Category.ACTIVATIONS, "benchmark", dtype, shape);
    }

    Tensor empty(long... shape) {
        return empty(DType.F32, shape);
    }

    /** Takes the memory, fills it, and runs everything once, so that what forward keeps for backward is there. */
    Ops start(Consumer<Ops> everything) {
        Ops ops = backend.plan(plan, everything);
        backend.allocate(plan);
        fillings.forEach(Runnable::run);
        everything.accept(ops);
        backend.synchronize();
        return ops;
    }

    /** Bytes that the tensors take. */
    long bytes() {
        return plan.bytes();
    }

    @Override
    public void close() {
        plan.close();
        if (closesBackend) {
            backend.close();
        }
    }
}
