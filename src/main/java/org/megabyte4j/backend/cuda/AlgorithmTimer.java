package org.megabyte4j.backend.cuda;

import java.util.List;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;

/** Measures how long the algorithms of a product take. */
interface AlgorithmTimer {
    /**
     * Seconds of each candidate; infinite for one that the library does not run after all.
     *
     * @return nothing if there is not enough memory to measure with
     */
    double[] time(GemmShape shape, CublasLtMatmul product, List<Algorithm> candidates, long workspaceBytes);
}
