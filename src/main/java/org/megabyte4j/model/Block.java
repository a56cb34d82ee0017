package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** Half a layer of a transformer, with its LayerNorm and its residual connection. */
interface Block {
    /**
     * @param x {@code [rows, dim]}; backward reads it again
     * @return {@code [rows, dim]}
     */
    Tensor forward(Ops ops, Tensor x);

    /** @param d gradient of the result; becomes the gradient of {@code x} */
    void backward(Ops ops, Tensor d);
}
