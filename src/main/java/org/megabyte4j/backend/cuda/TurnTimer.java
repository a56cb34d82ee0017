package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.util.Arrays;
import java.util.List;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.ffi.CublasException;

/** Times ways to do the same on the GPU, by events, in turns, so that a change of the clock meets all of them. */
final class TurnTimer {
    private static final int MOST_SAMPLES = 7;
    private static final int LEAST_SAMPLES = 3;
    private static final long ENOUGH_NANOSECONDS = 200_000_000;
    /** A sample is about this long, since events count in half microseconds. */
    private static final double SAMPLE_SECONDS = 200e-6;
    private static final int MOST_RUNS = 20;
    /** Small numbers, in F32 and BF16 alike: a GPU is faster with zeros. */
    private static final byte FILLING = 0x3c;

    private TurnTimer() {
    }

    /** Fills scratch memory with numbers to compute with. */
    static void fill(CudaContext context, CudaMemory scratch) {
        check(JCudaDriver.cuMemsetD8Async(NativeHandles.device(scratch.address()), FILLING, scratch.bytes(),
                context.compute()), "cuMemsetD8Async");
    }

    /** The median of each way; infinite for a product that the library does not run after all. */
    static double[] seconds(CudaContext context, List<Runnable> ways) {
        try (TimingEvent from = new TimingEvent(context); TimingEvent to = new TimingEvent(context)) {
            int[] runs = new int[ways.size()];
            for (int i = 0; i < runs.length; i++) {
                runs[i] = warmUp(ways.get(i), from, to);
            }
            double[][] samples = new double[ways.size()][MOST_SAMPLES];
            int taken = 0;
            long start = System.nanoTime();
            while (taken < LEAST_SAMPLES || taken < MOST_SAMPLES && System.nanoTime() - start < ENOUGH_NANOSECONDS) {
                int s = taken++;
                for (int i = 0; i < runs.length; i++) {
                    samples[i][s] = runs[i] == 0 ? Double.POSITIVE_INFINITY
                            : seconds(ways.get(i), runs[i], from, to) / runs[i];
                }
            }
            int count = taken;
            return Arrays.stream(samples).mapToDouble(of -> median(Arrays.copyOf(of, count))).toArray();
        }
    }

    private static double median(double[] samples) {
        Arrays.sort(samples);
        return samples[samples.length / 2];
    }

    /** How many runs make a sample; 0 if the way cannot be gone. */
    private static int warmUp(Runnable way, TimingEvent from, TimingEvent to) {
        try {
            seconds(way, 1, from, to);
        } catch (CublasException e) {
            return 0;
        }
        double once = seconds(way, 1, from, to);
        return (int) Math.clamp(SAMPLE_SECONDS / Math.max(once, 1e-9), 1, MOST_RUNS);
    }

    private static double seconds(Runnable way, int runs, TimingEvent from, TimingEvent to) {
        from.record();
        for (int i = 0; i < runs; i++) {
            way.run();
        }
        to.record();
        to.await();
        return to.millisecondsSince(from) * 1e-3;
    }
}
