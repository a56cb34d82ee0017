package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Causal attention over at most 64 positions, {@code kernels/local_attention.cu}. */
final class LocalAttentionKernels {
    /** The longest sequence that it is made for. */
    static final long LONGEST = 64;

    LocalAttentionKernels(KernelLoader loader) {
    }

    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        throw new UnsupportedOperationException("causalAttention is not there yet on CUDA");
    }

    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        throw new UnsupportedOperationException("causalAttentionBackward is not there yet on CUDA");
    }

    long causalAttentionBackwardWorkspaceBytes(AttentionShape shape, DType dtype) {
        return 0;
    }
}
