package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;

/** Times algorithms of a product on the GPU, on scratch memory as large and as badly aligned as the product's own. */
final class DeviceTimer implements AlgorithmTimer {
    private static final long BUFFER_ALIGNMENT = 256;
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
        try (CudaMemory scratch = new CudaMemory(context, layout.bytes)) {
            TurnTimer.fill(context, scratch);
            List<Runnable> ways = new ArrayList<>();
            candidates.forEach(algorithm -> ways.add(() -> layout.run(product, algorithm, scratch.address())));
            return TurnTimer.seconds(context, ways);
        }
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
