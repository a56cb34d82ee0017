package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** The first half of a transformer's layer, with its LayerNorm and its residual connection. */
interface AttentionLayer {
    /** At once where the backend does that, else step by step. */
    static AttentionLayer of(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias) {
        return graph.fusion().selfAttention(graph.dtype(), dim, shape).isThere()
                ? new FusedSelfAttention(graph, name, dim, shape, bias)
                : new SelfAttention(graph, name, dim, shape, bias);
    }

    /**
     * @param x {@code [rows, dim]}; backward reads it again
     * @return {@code [rows, dim]}
     */
    Tensor forward(Ops ops, Tensor x);

    /** Computes again what {@link #backward}, and that of the feed-forward behind it, need of {@link #forward}. */
    void again(Ops ops);

    /** @param d gradient of the result; becomes the gradient of {@code x} */
    void backward(Ops ops, Tensor d);
}
