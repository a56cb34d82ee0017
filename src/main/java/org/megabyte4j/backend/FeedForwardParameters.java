package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * The parameters of a feed-forward layer, or their gradients: {@code x + contract(gelu(expand(norm(x))))}.
 *
 * @param norm         weight of LayerNorm, {@code [dim]}
 * @param normBias     {@code [dim]}
 * @param expand       {@code [hidden, dim]}
 * @param expandBias   {@code [hidden]}
 * @param contract     {@code [dim, hidden]}
 * @param contractBias {@code [dim]}
 */
public record FeedForwardParameters(Tensor norm, Tensor normBias, Tensor expand, Tensor expandBias, Tensor contract,
        Tensor contractBias) {
    /** Columns of the layer's input and result. */
    public long dim() {
        return norm.elements();
    }

    /** Columns between its matrices. */
    public long hidden() {
        return expandBias.elements();
    }
}
