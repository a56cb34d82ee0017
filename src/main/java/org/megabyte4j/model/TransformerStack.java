package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** Attention and feed-forward, layer after layer, without a LayerNorm after the last. */
final class TransformerStack {
    private record Layer(Block attention, Block feedForward) { }

    private final List<Layer> layers = new ArrayList<>();

    /** @param name {@code g_transformer} or {@code l_transformer} */
    TransformerStack(GraphBuilder graph, String name, int count, long dim, AttentionShape shape, AttentionBias bias) {
        for (int i = 0; i < count; i++) {
            layers.add(new Layer(SelfAttention.of(graph, ModelLayout.attention(name, i), dim, shape, bias),
                    FeedForward.of(graph, ModelLayout.feedForward(name, i), shape.rows(), dim)));
        }
    }

    /** @param x {@code [rows, dim]} */
    Tensor forward(Ops ops, Tensor x) {
        Tensor stream = x;
        for (Layer layer : layers) {
            stream = layer.feedForward.forward(ops, layer.attention.forward(ops, stream));
        }
        return stream;
    }

    /** @param d gradient of the result; becomes the gradient of the input */
    void backward(Ops ops, Tensor d) {
        for (Layer layer : layers.reversed()) {
            layer.feedForward.backward(ops, d);
            layer.attention.backward(ops, d);
        }
    }
}
