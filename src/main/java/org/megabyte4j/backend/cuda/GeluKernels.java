package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/** The exact GELU, {@code kernels/gelu.cu}. */
final class GeluKernels {
    GeluKernels(KernelLoader loader) {
    }

    void gelu(Tensor preActivation, Tensor bias, Tensor activated) {
        throw new UnsupportedOperationException("gelu is not there yet on CUDA");
    }

    void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        throw new UnsupportedOperationException("geluBackward is not there yet on CUDA");
    }
}
