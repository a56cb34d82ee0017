package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.GraphBuilder.Keep;
import org.megabyte4j.tensor.Tensor;

/**
 * Attention and feed-forward, layer after layer, without a LayerNorm after the last. Layers that do not keep all that
 * backward needs compute it again there, each from its input.
 */
final class TransformerStack {
    private record Layer(AttentionLayer attention, FeedForwardRows feedForward, Tensor out) { }

    private final List<Layer> layers = new ArrayList<>();
    private final boolean kept;
    private final Progress progress;
    private final long flops;            // of a layer, forward
    private final long backwardFlops;

    /** @param name {@code g_transformer} or {@code l_transformer} */
    TransformerStack(GraphBuilder graph, String name, int count, long dim, AttentionShape shape, AttentionBias bias) {
        kept = graph.keeps(Keep.ALL);
        progress = graph.progress();
        flops = Flops.layer(shape.batch(), shape.length(), dim, shape.heads(), shape.headSize());
        backwardFlops = (graph.keeps(Keep.ATTENTION) ? 2 : 3) * flops;
        for (int i = 0; i < count; i++) {
            String feedForward = ModelLayout.feedForward(name, i);
            layers.add(new Layer(AttentionLayer.of(graph, ModelLayout.attention(name, i), dim, shape, bias),
                    new FeedForwardRows(graph, feedForward, shape.rows(), dim),
                    graph.kept(Keep.RESULTS, feedForward, stream(name), shape.rows(), dim)));
        }
    }

    /**
     * The name of scratch for what passes through the layers of a stack: the input and results of layers where they
     * are not kept, and their gradient.
     */
    static String stream(String stack) {
        return stack + " stream";
    }

    /** @param x {@code [rows, dim]} */
    Tensor forward(Ops ops, Tensor x) {
        Tensor stream = x;
        for (Layer layer : layers) {
            layer.feedForward.forward(ops, layer.attention.forward(ops, stream), layer.out);
            stream = layer.out;
            progress.enqueued(flops);
        }
        return stream;
    }

    /** @param d gradient of the result; becomes the gradient of the input */
    void backward(Ops ops, Tensor d) {
        for (Layer layer : layers.reversed()) {
            if (!kept) {
                layer.attention.again(ops);
            }
            layer.feedForward.backward(ops, d);
            layer.attention.backward(ops, d);
            progress.enqueued(backwardFlops);
        }
    }
}
