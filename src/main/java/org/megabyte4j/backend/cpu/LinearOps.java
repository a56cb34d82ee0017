package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.CpuTensors.segmentOrNull;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.Tensor;

/**
 * Linear layers. Each thread computes a part of the result of its own: some of the rows or some of the columns,
 * whichever are more, so that the operand which every thread has to pack is the smaller one.
 */
final class LinearOps {
    /** Up to this many rows a product is bound by reading the weights once, and goes row by row of the weights. */
    private static final int FEW_ROWS = 8;
    /** Multiply-adds below which a second thread costs more than it brings. */
    private static final long SMALL = 1L << 15;
    /** Elements of bf16 weights that are widened at a time: what the caches hold. */
    private static final long WIDENED = 1L << 19;

    private final Workers workers;
    private final Kernels kernels;
    private final Gemm gemm;

    LinearOps(Workers workers, Kernels kernels, Gemm gemm) {
        this.workers = workers;
        this.kernels = kernels;
        this.gemm = gemm;
    }

    /** What happens to a finished part of the result: rows {@code from} to {@code to}, some columns of each. */
    private interface Epilogue {
        void apply(long row, long column, int count);
    }

    /** Float32 elements of workspace: where bf16 weights for many rows are widened. */
    static long workspace(Tensor weight, Tensor out) {
        return isWidened(weight, Math.toIntExact(out.elements() / weight.size(0)))
                ? Math.min(weight.size(0), widenedColumns(weight.size(1))) * weight.size(1) : 0;
    }

    private static boolean isWidened(Tensor weight, int rows) {
        return BFloat16.isHalf(weight.dtype()) && rows > FEW_ROWS;
    }

    private static long widenedColumns(long inner) {
        return Math.max(1, WIDENED / inner);
    }

    void forward(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out, Tensor workspace) {
        forward(x, weight, bias, addend, out, null, workspace);
    }

    void forwardGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated,
            Tensor workspace) {
        MemorySegment from = segment(preActivation);
        MemorySegment to = segment(activated);
        long columns = weight.size(0);
        forward(x, weight, bias, null, preActivation, (row, column, count) ->
                kernels.gelu(from, row * columns + column, to, row * columns + column, count), workspace);
    }

    private void forward(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out, Epilogue epilogue,
            Tensor workspace) {
        int columns = Math.toIntExact(weight.size(0));
        int inner = Math.toIntExact(weight.size(1));
        int rows = Math.toIntExact(out.elements() / columns);
        MemorySegment w = segment(weight);
        if (!isWidened(weight, rows)) {
            forward(x, weight, w, BFloat16.isHalf(weight.dtype()), 0, columns, bias, addend, out, epilogue);
            return;
        }
        MemorySegment wide = segment(workspace);
        int block = (int) Math.min(columns, widenedColumns(inner));
        for (int first = 0; first < columns; first += block) {
            int count = Math.min(block, columns - first);
            long start = (long) first * inner;
            workers.forRange((long) count * inner, SMALL, (from, end) ->
                    kernels.widen(w, start + from, wide, from, (int) (end - from)));
            forward(x, weight, wide, false, first, count, bias, addend, out, epilogue);
        }
    }

    /**
     * Some columns of the result.
     *
     * @param w     the rows of the weight that belong to them
     * @param half  whether these are bf16
     * @param first of the columns
     */
    private void forward(Tensor x, Tensor weight, MemorySegment w, boolean half, int first, int count, Tensor bias,
            Tensor addend, Tensor out, Epilogue epilogue) {
        int columns = Math.toIntExact(weight.size(0));
        int inner = Math.toIntExact(weight.size(1));
        int rows = Math.toIntExact(out.elements() / columns);
        MemorySegment in = segment(x);
        MemorySegment b = segmentOrNull(bias);
        MemorySegment add = segmentOrNull(addend);
        MemorySegment to = segment(out);
        split(rows, count, inner, (row, rowCount, part, partCount) -> {
            int column = first + part;
            if (rowCount <= FEW_ROWS) {
                dotProducts(in, w, half, first, b, add, to, columns, inner, row, rowCount, column, partCount);
            } else {
                prepare(b, add, addend == out, to, columns, row, rowCount, column, partCount);
                gemm.multiply(false, true, rowCount, partCount, inner, 1, from(in, (long) row * inner), inner,
                        from(w, (long) part * inner), inner, b == null && add == null ? 0 : 1,
                        from(to, (long) row * columns + column), columns);
            }
            for (int r = row; epilogue != null && r < row + rowCount; r++) {
                epilogue.apply(r, column, partCount);
            }
        });
    }

    /** What is to be added goes into the result first; the product is added to it. */
    private void prepare(MemorySegment bias, MemorySegment addend, boolean inPlace, MemorySegment out, int columns,
            int row, int rowCount, int column, int columnCount) {
        for (long r = row; r < row + rowCount; r++) {
            long at = r * columns + column;
            if (addend != null && !inPlace) {
                MemorySegment.copy(addend, at << 2, out, at << 2, (long) columnCount << 2);
            }
            if (bias != null && addend == null) {
                MemorySegment.copy(bias, (long) column << 2, out, at << 2, (long) columnCount << 2);
            } else if (bias != null) {
                kernels.add(bias, column, out, at, columnCount);
            }
        }
    }

    private void dotProducts(MemorySegment in, MemorySegment w, boolean half, int first, MemorySegment bias,
            MemorySegment addend, MemorySegment out, int columns, int inner, int row, int rowCount, int column,
            int columnCount) {
        for (long c = column; c < column + columnCount; c++) {
            long weight = (c - first) * inner;
            for (long r = row; r < row + rowCount; r++) {
                float value = half ? kernels.dotBf16(in, r * inner, w, weight, inner)
                        : kernels.dot(in, r * inner, w, weight, inner);
                value += bias == null ? 0 : bias.get(PlainKernels.FLOAT, c << 2);
                value += addend == null ? 0 : addend.get(PlainKernels.FLOAT, r * columns + c << 2);
                out.set(PlainKernels.FLOAT, r * columns + c << 2, value);
            }
        }
    }

    void inputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        int inner = Math.toIntExact(weight.size(0));
        int columns = Math.toIntExact(weight.size(1));
        int rows = Math.toIntExact(dX.elements() / columns);
        MemorySegment from = segment(dOut);
        MemorySegment w = segment(weight);
        MemorySegment add = segmentOrNull(addend);
        MemorySegment to = segment(dX);
        split(rows, columns, inner, (row, rowCount, column, columnCount) -> {
            prepare(null, add, addend == dX, to, columns, row, rowCount, column, columnCount);
            gemm.multiply(false, false, rowCount, columnCount, inner, 1, from(from, (long) row * inner), inner,
                    from(w, column), columns, add == null ? 0 : 1, from(to, (long) row * columns + column), columns);
        });
    }

    void weightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        int rows = Math.toIntExact(dWeight.size(0));
        int columns = Math.toIntExact(dWeight.size(1));
        int inner = Math.toIntExact(dOut.elements() / rows);
        MemorySegment in = segment(x);
        MemorySegment from = segment(dOut);
        MemorySegment to = segment(dWeight);
        split(rows, columns, inner, (row, rowCount, column, columnCount) ->
                gemm.multiply(true, false, rowCount, columnCount, inner, 1, from(from, row), rows, from(in, column),
                        columns, 1, from(to, (long) row * columns + column), columns));
        if (dBias != null) {
            MemorySegment sums = segment(dBias);
            workers.forRange(rows, Math.max(16, SMALL / inner), (first, end) -> {
                for (long r = 0; r < inner; r++) {
                    kernels.add(from, r * rows + first, sums, first, (int) (end - first));
                }
            });
        }
    }

    private interface Part {
        void run(int row, int rowCount, int column, int columnCount);
    }

    private void split(int rows, int columns, int inner, Part part) {
        long grain = Math.max(1, SMALL * Math.max(rows, columns) / Math.max(1, (long) rows * columns * inner));
        if (rows > columns) {
            workers.forRange(rows, grain, (from, to) -> part.run((int) from, (int) (to - from), 0, columns));
        } else {
            workers.forRange(columns, grain, (from, to) -> part.run(0, rows, (int) from, (int) (to - from)));
        }
    }

    private static MemorySegment from(MemorySegment x, long element) {
        return x.asSlice(element << 2);
    }
}
