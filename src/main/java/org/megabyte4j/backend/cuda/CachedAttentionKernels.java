package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.Tensor;

/** Attention with a cache, for generation, {@code kernels/cached_attention.cu}. */
final class CachedAttentionKernels {
    CachedAttentionKernels(KernelLoader loader) {
    }

    void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out, Tensor workspace) {
        throw new UnsupportedOperationException("cachedAttention is not there yet on CUDA");
    }

    long cachedAttentionWorkspaceBytes(AttentionShape shape, long capacity) {
        return 0;
    }
}
