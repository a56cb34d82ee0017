package org.megabyte4j.backend.cuda;

import org.megabyte4j.tensor.Tensor;

/** The loss and its gradient, {@code kernels/cross_entropy.cu}. */
final class CrossEntropyKernels {
    CrossEntropyKernels(KernelLoader loader) {
    }

    void countTargets(Tensor ids, int ignoredId, Tensor count, Tensor workspace) {
        throw new UnsupportedOperationException("countTargets is not there yet on CUDA");
    }

    void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale, Tensor workspace) {
        throw new UnsupportedOperationException("softmaxCrossEntropy is not there yet on CUDA");
    }

    long countTargetsWorkspaceBytes(long ids) {
        return 0;
    }

    long softmaxCrossEntropyWorkspaceBytes(long rows) {
        return 0;
    }
}
