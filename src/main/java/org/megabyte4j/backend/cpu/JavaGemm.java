package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/** Products in Java: what tests compare with, and what runs where no OpenBLAS loads. */
record JavaGemm(Kernels kernels) implements Gemm {
    @Override
    public String description() {
        return "matrix products in Java, " + kernels.name();
    }

    @Override
    public void multiply(boolean transposeA, boolean transposeB, int m, int n, int k, float alpha, MemorySegment a,
            int lda, MemorySegment b, int ldb, float beta, MemorySegment c, int ldc) {
        for (long row = 0; row < m; row++) {
            if (beta == 0) {
                kernels.fill(c, row * ldc, n, 0);
            } else if (beta != 1) {
                kernels.scale(c, row * ldc, n, beta);
            }
            if (transposeB && !transposeA) {
                for (long column = 0; column < n; column++) {
                    add(c, row * ldc + column, alpha * kernels.dot(a, row * lda, b, column * ldb, k));
                }
                continue;
            }
            for (long inner = 0; inner < k; inner++) {
                float factor = alpha * at(a, transposeA ? inner * lda + row : row * lda + inner);
                if (transposeB) {
                    for (long column = 0; column < n; column++) {
                        add(c, row * ldc + column, factor * at(b, column * ldb + inner));
                    }
                } else {
                    kernels.addScaled(factor, b, inner * ldb, c, row * ldc, n);
                }
            }
        }
    }

    private static float at(MemorySegment x, long index) {
        return x.getAtIndex(JAVA_FLOAT_UNALIGNED, index);
    }

    private static void add(MemorySegment c, long index, float value) {
        c.setAtIndex(JAVA_FLOAT_UNALIGNED, index, at(c, index) + value);
    }
}
