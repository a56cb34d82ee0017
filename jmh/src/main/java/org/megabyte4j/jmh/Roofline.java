package org.megabyte4j.jmh;

import java.util.Map;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/**
 * What a device can do, measured on it (Williams, Waterman and Patterson 2009): the bandwidth of a large copy, and the
 * speed of a large square product of random numbers in each type.
 *
 * @param bytesPerSecond of a copy, read and written bytes together
 * @param flopsPerSecond by type
 */
record Roofline(double bytesPerSecond, Map<DType, Double> flopsPerSecond) {
    static Roofline measure(KernelTimer timer, KernelSizes sizes) {
        KernelCase copy = copy(sizes.copyBytes());
        return new Roofline(rate(copy.cost().bytes(), timer.time(copy)),
                Map.of(DType.F32, arithmetic(timer, sizes.product(), DType.F32),
                        DType.BF16, arithmetic(timer, sizes.product(), DType.BF16)));
    }

    private static KernelCase copy(long bytes) {
        long count = bytes / Float.BYTES;
        return new KernelCase("copy", count + " elements", DType.F32, new Cost(2 * bytes, 0), p -> {
            Tensor from = p.values(count);
            Tensor to = p.empty(count);
            return KernelCase.Call.of(ops -> ops.copy(from, to));
        });
    }

    private static double arithmetic(KernelTimer timer, int size, DType dtype) {
        Cost cost = Cost.product(size, size, size, 0, dtype);
        KernelCase product = new KernelCase("linear", size + " cubed", dtype, cost, p -> {
            Tensor x = p.values(dtype, size, size);
            Tensor weight = p.values(dtype, size, size);
            Tensor out = p.empty(dtype, size, size);
            return KernelCase.Call.of(ops -> ops.linear(x, weight, null, null, out));
        });
        return rate(cost.flops(), timer.time(product));
    }

    private static double rate(double amount, KernelTimer.Timing timing) {
        return amount / (timing.median() * 1e-6);
    }

    /** The least time that a cost takes, in microseconds: the longer of moving its bytes and doing its arithmetic. */
    double floor(Cost cost, DType dtype) {
        return 1e6 * Math.max(cost.bytes() / bytesPerSecond, cost.flops() / flopsPerSecond.get(dtype));
    }

    /** Whether it is the bytes that set {@link #floor}. */
    boolean isMemoryBound(Cost cost, DType dtype) {
        return cost.bytes() / bytesPerSecond >= cost.flops() / flopsPerSecond.get(dtype);
    }
}
