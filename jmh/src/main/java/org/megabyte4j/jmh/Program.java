package org.megabyte4j.jmh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** The device of a benchmark and what lies on it: tensors first, then {@link #start}, then work. */
final class Program implements AutoCloseable {
    private final Backend backend = open();
    private final MemoryPlan plan = new MemoryPlan();
    private final List<Runnable> fillings = new ArrayList<>();

    /** The CPU with {@code -Dmegabyte4j.threads=N}, or else with all processors. */
    static Backend open() {
        return CpuBackend.open(Integer.getInteger("megabyte4j.threads", Runtime.getRuntime().availableProcessors()));
    }

    /** {@code "64x256"} as its numbers. */
    static int[] sizes(String text) {
        return Arrays.stream(text.split("x")).mapToInt(Integer::parseInt).toArray();
    }

    Backend backend() {
        return backend;
    }

    /** Normally distributed values, the same in each run. */
    Tensor values(long... shape) {
        Tensor tensor = empty(DType.F32, shape);
        int seed = fillings.size();
        fillings.add(() -> {
            Random random = new Random(seed);
            float[] values = new float[Math.toIntExact(tensor.elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextGaussian();
            }
            backend.write(tensor, values);
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

    @Override
    public void close() {
        plan.close();
        backend.close();
    }
}
