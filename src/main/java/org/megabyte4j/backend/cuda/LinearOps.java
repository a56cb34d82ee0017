package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/** Linear layers by a matrix product of a library and kernels for what that leaves. */
final class LinearOps {
    LinearOps(CudaKernels kernels) {
    }

    void forward(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out, Tensor workspace) {
        throw new UnsupportedOperationException("linear is not there yet on CUDA");
    }

    void inputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX, Tensor workspace) {
        throw new UnsupportedOperationException("linearInputGradient is not there yet on CUDA");
    }

    void weightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias, Tensor workspace) {
        throw new UnsupportedOperationException("linearWeightGradient is not there yet on CUDA");
    }

    void forwardGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated, Tensor workspace) {
        throw new UnsupportedOperationException("linearGelu is not there yet on CUDA");
    }

    /** What a product of these sizes and its bias need. */
    long workspaceBytes(long rows, long in, long out) {
        return 0;
    }
}
