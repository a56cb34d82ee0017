package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** The second half of a transformer's layer over some rows, with its LayerNorm and its residual connection. */
interface FeedForwardLayer {
    /** At once where the backend does that, else step by step. */
    static FeedForwardLayer of(GraphBuilder graph, String name, long rows, long dim) {
        return graph.fusion().feedForward(graph.dtype(), dim, 4 * dim).isThere()
                ? new FusedFeedForward(graph, name, rows, dim) : new FeedForward(graph, name, rows, dim);
    }

    /**
     * @param x   {@code [rows, dim]}; backward reads it again
     * @param out {@code [rows, dim]}
     */
    void forward(Ops ops, Tensor x, Tensor out);

    /** Computes again what {@link #backward} needs of {@link #forward}. */
    void again(Ops ops, Tensor x);

    /** @param d gradient of the result; becomes the gradient of {@code x} */
    void backward(Ops ops, Tensor d);
}
