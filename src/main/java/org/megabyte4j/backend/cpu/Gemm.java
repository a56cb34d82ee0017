package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;

/**
 * Single-threaded float32 matrix product, row-major: {@code C = alpha op(A) op(B) + beta C}, where {@code op(A)} is m
 * by k and {@code op(B)} is k by n. Called by several threads at once, which split the work between them. Segments
 * start at the first element; leading dimensions are in elements. With {@code beta} 0, C is not read.
 */
interface Gemm {
    /** For {@code info} and benchmark reports. */
    String description();

    void multiply(boolean transposeA, boolean transposeB, int m, int n, int k, float alpha, MemorySegment a, int lda,
            MemorySegment b, int ldb, float beta, MemorySegment c, int ldc);
}
