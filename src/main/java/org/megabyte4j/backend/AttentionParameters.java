package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * The parameters of an attention layer: {@code x + toOut(attention(toQkv(norm(x))))}.
 *
 * @param norm     weight of LayerNorm, {@code [dim]}
 * @param normBias {@code [dim]}
 * @param toQkv    {@code [packedWidth, dim]} of the {@link AttentionShape}
 * @param toOut    {@code [dim, heads * headSize]}
 */
public record AttentionParameters(Tensor norm, Tensor normBias, Tensor toQkv, Tensor toOut) {
    /** Columns of the layer's input and result. */
    public long dim() {
        return norm.elements();
    }
}
