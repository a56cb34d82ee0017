package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.ffi.OpenBlas;

/** Products by OpenBLAS. */
record OpenBlasGemm(OpenBlas blas) implements Gemm {
    @Override
    public String description() {
        return blas.version() + ", kernels for " + blas.core();
    }

    @Override
    public void multiply(boolean transposeA, boolean transposeB, int m, int n, int k, float alpha, MemorySegment a,
            int lda, MemorySegment b, int ldb, float beta, MemorySegment c, int ldc) {
        blas.sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    }
}
