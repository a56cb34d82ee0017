package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.ffi.CublasException;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;

/** Times algorithms of a product on the GPU, on scratch memory as large and as badly aligned as the product's own. */
final class DeviceTimer implements AlgorithmTimer {
    private static final long BUFFER_ALIGNMENT = 256;
    /** Samples of each algorithm, taken in turns, so that a change of the clock meets all of them. */
    private static final int MOST_SAMPLES = 7;
    private static final int LEAST_SAMPLES = 3;
    private static final long ENOUGH_NANOSECONDS = 200_000_000;
    /** A sample is about this long, since events count in half microseconds. */
    private static final double SAMPLE_SECONDS = 200e-6;
    private static final int MOST_RUNS = 20;
    /** Fills operands with small numbers, in F32 and BF16 alike: a GPU is faster with zeros. */
    private static final byte FILLING = 0x3c;

    private final CudaContext context;

    DeviceTimer(CudaContext context) {
        this.context = context;
    }

    @Override
    public double[] time(GemmShape shape, CublasLtMatmul product, List<Algorithm> candidates, long workspaceBytes) {
        if (Layout.roughBytes(shape, workspaceBytes) > context.freeMemory()) {
            return new double[0];
        }
        Layout layout = new Layout(shape, workspaceBytes);
        try (CudaMemory scratch = new CudaMemory(context, layout.bytes); TimingEvent from = new TimingEvent(context);
                TimingEvent to = new TimingEvent(context)) {
            check(JCudaDriver.cuMemsetD8Async(NativeHandles.device(scratch.address()), FILLING, layout.bytes,
                    context.compute()), "cuMemsetD8Async");
            Run run = algorithm -> layout.run(product, algorithm, scratch.address());
            int[] runs = new int[candidates.size()];
            for (int i = 0; i < runs.length; i++) {
                runs[i] = warmUp(run, candidates.get(i), from, to);
            }
            double[][] samples = new double[candidates.size()][MOST_SAMPLES];
            int taken = 0;
            long start = System.nanoTime();
            while (taken < LEAST_SAMPLES || taken < MOST_SAMPLES && System.nanoTime() - start < ENOUGH_NANOSECONDS) {
                int s = taken++;
                for (int i = 0; i < runs.length; i++) {
                    samples[i][s] = runs[i] == 0 ? Double.POSITIVE_INFINITY
                            : seconds(run, candidates.get(i), runs[i], from, to) / runs[i];
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

    private interface Run {
        void enqueue(Algorithm algorithm);
    }

    /** How many runs make a sample; 0 if the algorithm does not run. */
    private int warmUp(Run run, Algorithm algorithm, TimingEvent from, TimingEvent to) {
        try {
            seconds(run, algorithm, 1, from, to);
        } catch (CublasException e) {
            return 0;
        }
        double once = seconds(run, algorithm, 1, from, to);
        return (int) Math.clamp(SAMPLE_SECONDS / Math.max(once, 1e-9), 1, MOST_RUNS);
    }

    private double seconds(Run run, Algorithm algorithm, int runs, TimingEvent from, TimingEvent to) {
        from.record();
        for (int i = 0; i < runs; i++) {
            run.enqueue(algorithm);
        }
        to.record();
        to.await();
        return to.millisecondsSince(from) * 1e-3;
    }

    /** Where the operands lie in the scratch memory. The addend is not the result, which not every algorithm allows. */
    private final class Layout {
        private final GemmShape shape;
        private final long a;
        private final long b;
        private final long c;
        private final long d;
        private final long bias;
        private final long workspace;
        private final long bytes;

        Layout(GemmShape shape, long workspaceBytes) {
            this.shape = shape;
            List<Long> ends = new ArrayList<>(List.of(0L));
            a = place(ends, shape.m() * shape.k() * shape.operands().bytes(), shape.alignmentOfA());
            b = place(ends, shape.k() * shape.n() * shape.operands().bytes(), shape.alignmentOfB());
            d = place(ends, shape.m() * shape.n() * shape.result().bytes(), shape.alignmentOfD());
            c = shape.hasAddend()
                    ? place(ends, shape.m() * shape.n() * shape.result().bytes(), shape.alignmentOfC()) : d;
            bias = shape.hasBias() ? place(ends, shape.n() * shape.result().bytes(), shape.alignmentOfBias()) : 0;
            workspace = place(ends, workspaceBytes, (int) BUFFER_ALIGNMENT);
            bytes = ends.getLast();
        }

        /** How much it takes, more rather than less; some products are beyond what a long can count. */
        static double roughBytes(GemmShape shape, long workspaceBytes) {
            double operands = ((double) shape.m() * shape.k() + (double) shape.k() * shape.n())
                    * shape.operands().bytes();
            double results = ((double) shape.m() * shape.n() * (shape.hasAddend() ? 2 : 1) + shape.n())
                    * shape.result().bytes();
            return operands + results + workspaceBytes + 12 * BUFFER_ALIGNMENT;
        }

        /** A place that is aligned as said and no better, at the end of what there is. */
        private static long place(List<Long> ends, long size, int alignment) {
            long start = ends.getLast() + alignment % BUFFER_ALIGNMENT;
            ends.add((start + size + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT);
            return start;
        }

        void run(CublasLtMatmul product, Algorithm algorithm, long base) {
            product.run(algorithm, 1, base + b, base + a, shape.hasAddend() ? 1 : 0, base + c, base + d, base + bias,
                    base + workspace, context.computeAddress());
        }
    }
}
