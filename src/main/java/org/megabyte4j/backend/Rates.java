package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Consumer;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * What a device reaches (Williams, Waterman and Patterson 2009): the speed of a large matrix product, and the bandwidth
 * of a large copy.
 *
 * @param flopsPerSecond of a product in the type that a program computes in
 * @param bytesPerSecond of a copy, read and written bytes together
 */
public record Rates(double flopsPerSecond, double bytesPerSecond) {
    private static final int WARM_UP = 3;
    private static final int RUNS = 9;
    /** Values that are drawn; larger tensors repeat them. A GPU is faster with zeros, so they are random. */
    private static final int DRAWN = 1 << 16;

    /** The least time in seconds: the longer of moving the bytes and doing the arithmetic. */
    public double floor(Cost cost) {
        return Math.max(cost.bytes() / bytesPerSecond, cost.flops() / flopsPerSecond);
    }

    /** Whether it is the bytes that set {@link #floor}. */
    public boolean isMemoryBound(Cost cost) {
        return cost.bytes() / bytesPerSecond >= cost.flops() / flopsPerSecond;
    }

    /**
     * Measures a device: medians of {@value #RUNS} runs.
     *
     * @param size      rows, columns and inner size of the product
     * @param copyBytes that are read, and as many written
     */
    public static Rates measure(Backend backend, DType dtype, long size, long copyBytes) {
        return new Rates(product(backend, dtype, size), copy(backend, copyBytes));
    }

    private static double product(Backend backend, DType dtype, long size) {
        try (MemoryPlan plan = new MemoryPlan()) {
            Tensor x = empty(plan, dtype, size, size);
            Tensor weight = empty(plan, dtype, size, size);
            Tensor out = empty(plan, dtype, size, size);
            Ops ops = start(backend, plan, dry -> dry.linear(x, weight, null, null, out));
            fill(backend, x);
            fill(backend, weight);
            return Cost.product(size, size * size).flops() / median(backend,
                    () -> ops.linear(x, weight, null, null, out));
        }
    }

    private static double copy(Backend backend, long bytes) {
        try (MemoryPlan plan = new MemoryPlan()) {
            Tensor from = empty(plan, DType.F32, bytes / Float.BYTES);
            Tensor to = empty(plan, DType.F32, bytes / Float.BYTES);
            Ops ops = start(backend, plan, dry -> dry.copy(from, to));
            fill(backend, from);
            return Cost.moving(from, to).bytes() / median(backend, () -> ops.copy(from, to));
        }
    }

    private static Tensor empty(MemoryPlan plan, DType dtype, long... shape) {
        return plan.tensor(MemoryPlan.Category.ACTIVATIONS, "measured", dtype, shape);
    }

    private static Ops start(Backend backend, MemoryPlan plan, Consumer<Ops> program) {
        Ops ops = backend.plan(plan, program);
        backend.allocate(plan);
        return ops;
    }

    private static void fill(Backend backend, Tensor tensor) {
        Random random = new Random(1);
        int drawn = (int) Math.min(DRAWN, tensor.elements());
        float[] floats = new float[drawn];
        short[] upper = new short[drawn];
        for (int i = 0; i < drawn; i++) {
            floats[i] = (float) random.nextGaussian();
            upper[i] = (short) (Float.floatToRawIntBits(floats[i]) >>> 16);
        }
        MemorySegment values = tensor.dtype() == DType.BF16 ? MemorySegment.ofArray(upper)
                : MemorySegment.ofArray(floats);
        for (long at = 0; at < tensor.elements(); at += drawn) {
            long count = Math.min(drawn, tensor.elements() - at);
            backend.write(tensor.part(at, count), values.asSlice(0, count * tensor.dtype().bytes()));
        }
    }

    private static double median(Backend backend, Runnable work) {
        for (int i = 0; i < WARM_UP; i++) {
            work.run();
        }
        backend.synchronize();
        try (Stopwatch watch = backend.stopwatch()) {
            watch.lap();
            for (int i = 0; i < RUNS; i++) {
                work.run();
                watch.lap();
            }
            double[] seconds = watch.seconds();
            Arrays.sort(seconds);
            return seconds[RUNS / 2];
        }
    }
}
