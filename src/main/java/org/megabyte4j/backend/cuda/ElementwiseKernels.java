package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** What is done to each element alone, and sums over rows, {@code kernels/elementwise.cu}. */
final class ElementwiseKernels {
    private static final int WARP = 32;
    private static final int COLUMN_THREADS = 256;
    private static final int SUM_THREADS = 1024;
    /** Parts that the rows of a column sum are divided into: enough blocks for any GPU, few enough to add up. */
    private static final long SUM_BLOCKS = 1056;
    private static final long STRIP = 128;
    private static final long MOST_PARTS = 4096;
    private static final long LEAST_ROWS = 64;

    private final Kernel fillFloat;
    private final Kernel fillBf16;
    private final Kernel fillInt;
    private final Kernel copy32;
    private final Kernel copy16;
    private final Kernel toBf16;
    private final Kernel toFloat;
    private final Kernel addBiasFloat;
    private final Kernel addBiasBf16;
    private final Kernel columnSumsFloat;
    private final Kernel columnSumsBf16;
    private final Kernel addColumnSums;

    ElementwiseKernels(KernelLoader loader) {
        KernelModule module = loader.module("elementwise");
        fillFloat = module.kernel("fill_f32", PTR, I64, F32);
        fillBf16 = module.kernel("fill_bf16", PTR, I64, F32);
        fillInt = module.kernel("fill_i32", PTR, I64, I32);
        copy32 = module.kernel("copy_32", PTR, PTR, I64);
        copy16 = module.kernel("copy_16", PTR, PTR, I64);
        toBf16 = module.kernel("cast_f32_bf16", PTR, PTR, I64);
        toFloat = module.kernel("cast_bf16_f32", PTR, PTR, I64);
        addBiasFloat = module.kernel("add_bias_f32", PTR, PTR, I64, I32);
        addBiasBf16 = module.kernel("add_bias_bf16", PTR, PTR, I64, I32);
        columnSumsFloat = module.kernel("column_sums_f32", PTR, I64, I64, I32, I32, I64, PTR, I32);
        columnSumsBf16 = module.kernel("column_sums_bf16", PTR, I64, I64, I32, I32, I64, PTR, I32);
        addColumnSums = module.kernel("add_column_sums", PTR, I64, I64, PTR);
    }

    void fill(Tensor x, float value) {
        long elements = x.elements();
        if (elements == 0) {
            return;
        }
        switch (x.dtype()) {
            case F32 -> Launches.elementwise(fillFloat, elements, 4).arg(x).arg(elements).arg(value).launch();
            case BF16 -> Launches.elementwise(fillBf16, elements, 8).arg(x).arg(elements).arg(value).launch();
            case I32 -> Launches.elementwise(fillInt, elements, 4).arg(x).arg(elements).arg((int) value).launch();
            default -> throw new IllegalArgumentException(x + " cannot be filled");
        }
    }

    /** F32, BF16 and I32 to the same, and between F32 and BF16. */
    void copy(Tensor from, Tensor to) {
        long elements = from.elements();
        if (elements == 0) {
            return;
        }
        boolean same = from.dtype() == to.dtype();
        if (same && from.dtype().bytes() == 4) {
            Launches.elementwise(copy32, elements, 4).arg(from).arg(to).arg(elements).launch();
        } else if (same && from.dtype() == DType.BF16) {
            Launches.elementwise(copy16, elements, 8).arg(from).arg(to).arg(elements).launch();
        } else if (from.dtype() == DType.F32 && to.dtype() == DType.BF16) {
            Launches.elementwise(toBf16, elements, 8).arg(from).arg(to).arg(elements).launch();
        } else if (from.dtype() == DType.BF16 && to.dtype() == DType.F32) {
            Launches.elementwise(toFloat, elements, 8).arg(from).arg(to).arg(elements).launch();
        } else {
            throw new IllegalArgumentException(from + " cannot be copied to " + to);
        }
    }

    /**
     * Adds a bias to each row.
     *
     * @param x    {@code [rows, columns]}
     * @param bias {@code [columns]}, of the same dtype
     */
    void addBias(Tensor x, Tensor bias) {
        long elements = x.elements();
        if (elements == 0) {
            return;
        }
        Launches.elementwise(Launches.of(x, addBiasFloat, addBiasBf16), elements, Launches.vector(x.dtype()))
                .arg(x).arg(bias).arg(elements).arg(Math.toIntExact(bias.elements())).launch();
    }

    /**
     * Adds the sums over the rows.
     *
     * @param x         {@code [rows, columns]}
     * @param sums      F32 {@code [columns]}, added to
     * @param workspace at least {@link #columnSumsWorkspaceBytes}
     */
    void columnSums(Tensor x, Tensor sums, Tensor workspace) {
        columnSums(x, x.elements() / sums.elements(), sums.elements(), sums, workspace);
    }

    /** The same for elements that are seen as {@code [rows, columns]}. */
    void columnSums(Tensor x, long rows, long columns, Tensor sums, Tensor workspace) {
        if (rows == 0 || columns == 0) {
            return;
        }
        boolean vectors = Launches.vectors(x, columns);
        int vector = vectors ? Launches.vector(x.dtype()) : 1;
        long packs = Math.ceilDiv(columns, vector);
        int lanes = packs >= WARP ? WARP : (int) powerOfTwo(packs);
        long parts = parts(rows, columns);
        long rowsPerPart = Math.ceilDiv(rows, parts);
        Launches.of(x, columnSumsFloat, columnSumsBf16)
                .grid(Math.ceilDiv(packs, lanes), parts).block(COLUMN_THREADS)
                .arg(x).arg(rows).arg(columns).arg(lanes).arg(vectors ? 1 : 0).arg(rowsPerPart)
                .arg(parts == 1 ? sums : workspace).arg(parts == 1 ? 1 : 0).launch();
        if (parts > 1) {
            addColumnSums.grid(Math.ceilDiv(columns, WARP)).block(SUM_THREADS)
                    .arg(workspace).arg(parts).arg(columns).arg(sums).launch();
        }
    }

    /** Sums of parts; a single part goes to where it belongs. */
    long columnSumsWorkspaceBytes(long rows, long columns) {
        long parts = parts(rows, columns);
        return parts == 1 ? 0 : parts * columns * Float.BYTES;
    }

    private static long parts(long rows, long columns) {
        long wanted = Math.clamp(SUM_BLOCKS * STRIP / Math.max(1, columns), 1, MOST_PARTS);
        return Math.min(wanted, Math.max(1, Math.ceilDiv(rows, LEAST_ROWS)));
    }

    /** The least power of two that is not smaller. */
    private static long powerOfTwo(long n) {
        return n == 1 ? 1 : 2 * Long.highestOneBit(n - 1);
    }
}
