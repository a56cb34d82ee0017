package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/** The choice of ids, {@code kernels/sampling.cu}. */
final class SamplingKernels {
    SamplingKernels(KernelLoader loader) {
    }

    void require(long vocabulary) {
    }

    void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions, Tensor forced,
            Tensor seen, Tensor chosen, Tensor faults) {
        throw new UnsupportedOperationException("sample is not there yet on CUDA");
    }
}
