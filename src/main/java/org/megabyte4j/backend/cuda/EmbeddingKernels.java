package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.tensor.Tensor;

/** Embeddings of shifted ids, {@code kernels/embedding.cu}. */
final class EmbeddingKernels {
    EmbeddingKernels(KernelLoader loader) {
    }

    void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out) {
        throw new UnsupportedOperationException("embed is not there yet on CUDA");
    }

    void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions,
            Tensor workspace) {
        throw new UnsupportedOperationException("embedBackward is not there yet on CUDA");
    }

    long embedBackwardWorkspaceBytes(Tensor ids, Tensor dTable, Tensor dPositions) {
        return 0;
    }
}
