package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/** What is done to each element alone, and sums over rows, {@code kernels/elementwise.cu}. */
final class ElementwiseKernels {
    ElementwiseKernels(KernelLoader loader) {
    }

    void fill(Tensor x, float value) {
        throw new UnsupportedOperationException("fill is not there yet on CUDA");
    }

    void copy(Tensor from, Tensor to) {
        throw new UnsupportedOperationException("copy is not there yet on CUDA");
    }

    void addBias(Tensor x, Tensor bias) {
        throw new UnsupportedOperationException("addBias is not there yet on CUDA");
    }

    void columnSums(Tensor x, long rows, long columns, Tensor sums, Tensor workspace) {
        throw new UnsupportedOperationException("columnSums is not there yet on CUDA");
    }

    long columnSumsWorkspaceBytes(long rows, long columns) {
        return 0;
    }
}
