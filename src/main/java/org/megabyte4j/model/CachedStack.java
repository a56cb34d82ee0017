package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@link TransformerStack} for generation: it sees a few new positions at a time, the earlier ones lie in its caches. */
final class CachedStack {
    private record Layer(CachedAttention attention, FeedForward feedForward) { }

    private final List<Layer> layers = new ArrayList<>();
    private final Tensor out;    // [rows, dim], scratch

    /**
     * @param shape  {@code length} is the number of new positions
     * @param caches one for each layer, {@code [batch, capacity, keyValueWidth]}; stacks of several lengths share them
     */
    CachedStack(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias,
            List<Tensor> caches) {
        out = graph.scratch("feedForwardOut", shape.rows(), dim);
        for (int i = 0; i < caches.size(); i++) {
            layers.add(new Layer(
                    new CachedAttention(graph, ModelLayout.attention(name, i), dim, shape, bias, caches.get(i)),
                    new FeedForward(graph, ModelLayout.feedForward(name, i), shape.rows(), dim)));
        }
    }

    /**
     * @param x    {@code [batch * length, dim]}
     * @param past I32 {@code [batch]}, positions that the caches hold already
     */
    Tensor forward(Ops ops, Tensor x, Tensor past) {
        Tensor stream = x;
        for (Layer layer : layers) {
            layer.feedForward.forward(ops, layer.attention.forward(ops, stream, past), out);
            stream = out;
        }
        return stream;
    }
}
