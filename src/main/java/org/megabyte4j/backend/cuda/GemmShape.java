package org.megabyte4j.backend.cuda;

import org.megabyte4j.MegabyteException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/**
 * What a matrix product looks like, row-major and without gaps: {@code D = op(A) op(B) + C + bias} with {@code op(A)}
 * {@code [m, k]}, {@code op(B)} {@code [k, n]}, C and D {@code [m, n]}, the bias {@code [n]} added to each row. A
 * transposed operand is stored the other way round. Products that look the same are prepared once.
 *
 * @param form everything but the sizes, see {@link #form}
 */
record GemmShape(long m, long n, long k, int form) {
    /** Alignments beyond this make no difference: it is what the library assumes unless told otherwise. */
    private static final int MOST_ALIGNED = 256;

    // Bits of the form. An alignment takes four: 0 for no such operand, else one more than its logarithm.
    private static final int TRANSPOSE_A = 1;
    private static final int TRANSPOSE_B = 1 << 1;
    private static final int BF16_OPERANDS = 1 << 2;
    private static final int BF16_RESULT = 1 << 3;
    private static final int A_AT = 4;
    private static final int B_AT = 8;
    private static final int C_AT = 12;
    private static final int D_AT = 16;
    private static final int BIAS_AT = 20;

    /** @throws MegabyteException if the library could not count the elements of a side */
    GemmShape {
        if (m < 1 || n < 1 || k < 1 || m > Integer.MAX_VALUE || n > Integer.MAX_VALUE || k > Integer.MAX_VALUE) {
            throw new MegabyteException("a matrix product of [" + m + ", " + k + "] and [" + k + ", " + n
                    + "] is not possible; each side has to be from 1 to " + Integer.MAX_VALUE
                    + ", use a smaller --batch or --seq-len");
        }
    }

    /**
     * Types and alignments as one number, so that a prepared product is found without making an object. Operands are
     * all F32 or all BF16; the result, C and the bias have the type of {@code d}.
     *
     * @param c    null for none
     * @param bias null for none
     */
    static int form(boolean transposeA, boolean transposeB, Tensor a, Tensor b, Tensor c, Tensor d, Tensor bias) {
        boolean known = a.dtype() == DType.F32 ? d.dtype() == DType.F32
                : isBf16(a) && (isBf16(d) || d.dtype() == DType.F32);
        if (!known || a.dtype() != b.dtype() || c != null && c.dtype() != d.dtype()
                || bias != null && bias.dtype() != d.dtype()) {
            throw new IllegalArgumentException("there is no product of " + a + " and " + b + " into " + d
                    + (c == null ? "" : " with " + c + " added") + (bias == null ? "" : " and the bias " + bias));
        }
        return (transposeA ? TRANSPOSE_A : 0) | (transposeB ? TRANSPOSE_B : 0) | (isBf16(a) ? BF16_OPERANDS : 0)
                | (isBf16(d) ? BF16_RESULT : 0) | aligned(a) << A_AT | aligned(b) << B_AT | aligned(c) << C_AT
                | aligned(d) << D_AT | aligned(bias) << BIAS_AT;
    }

    private static boolean isBf16(Tensor tensor) {
        return tensor.dtype() == DType.BF16;
    }

    /** Known before there is memory: blocks and buffers start at multiples of 256 bytes. */
    private static int aligned(Tensor tensor) {
        return tensor == null ? 0 : 1 + Long.numberOfTrailingZeros(tensor.offset() | MOST_ALIGNED);
    }

    boolean transposeA() {
        return (form & TRANSPOSE_A) != 0;
    }

    boolean transposeB() {
        return (form & TRANSPOSE_B) != 0;
    }

    /** The type of A and B. */
    DType operands() {
        return (form & BF16_OPERANDS) != 0 ? DType.BF16 : DType.F32;
    }

    /** The type of C, D and the bias. */
    DType result() {
        return (form & BF16_RESULT) != 0 ? DType.BF16 : DType.F32;
    }

    /** Of how many bytes every address of A is a multiple: a power of two up to 256. */
    int alignmentOfA() {
        return alignment(A_AT);
    }

    int alignmentOfB() {
        return alignment(B_AT);
    }

    /** 0 for no addend. */
    int alignmentOfC() {
        return alignment(C_AT);
    }

    int alignmentOfD() {
        return alignment(D_AT);
    }

    /** 0 for no bias. */
    int alignmentOfBias() {
        return alignment(BIAS_AT);
    }

    private int alignment(int at) {
        int code = form >>> at & 15;
        return code == 0 ? 0 : 1 << code - 1;
    }

    boolean hasAddend() {
        return alignmentOfC() != 0;
    }

    boolean hasBias() {
        return alignmentOfBias() != 0;
    }

    /** Such as {@code 64x256x128 NT bf16 to f32, aligned 256 16 0 256 0}; the key of the file of algorithms. */
    @Override
    public String toString() {
        return m + "x" + n + "x" + k + " " + (transposeA() ? "T" : "N") + (transposeB() ? "T" : "N") + " "
                + name(operands()) + " to " + name(result()) + ", aligned " + alignmentOfA() + " " + alignmentOfB()
                + " " + alignmentOfC() + " " + alignmentOfD() + " " + alignmentOfBias();
    }

    private static String name(DType dtype) {
        return dtype == DType.BF16 ? "bf16" : "f32";
    }
}
