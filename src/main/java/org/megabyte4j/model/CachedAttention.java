package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@link SelfAttention} for generation: keys and values of earlier positions come from a cache. */
final class CachedAttention {
    private final AttentionShape shape;
    private final AttentionBias bias;
    private final LayerNorm norm;
    private final Linear toQkv;
    private final Linear toOut;
    private final Tensor cache;       // [batch, capacity, 2 * headSize]
    private final Tensor normed;      // [rows, dim], scratch
    private final Tensor qkv;         // [rows, (heads + 2) * headSize], scratch
    private final Tensor attended;    // [rows, heads * headSize], scratch
    private final Tensor out;         // [rows, dim], scratch

    /** @param shape {@code length} is the number of new positions */
    CachedAttention(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias,
            Tensor cache) {
        this.shape = shape;
        this.bias = bias;
        this.cache = cache;
        long rows = shape.rows();
        norm = new LayerNorm(graph, name + "norm", rows);
        toQkv = Linear.withoutBias(graph, name + "to_q.weight", name + "to_kv.weight");
        toOut = Linear.withoutBias(graph, name + "to_out.weight");
        normed = graph.scratch("normed", rows, dim);
        qkv = graph.scratch("qkv", rows, shape.packedWidth());
        attended = graph.scratch("attended", rows, shape.width());
        out = graph.scratch("attentionOut", rows, dim);
    }

    /** @param past I32 {@code [batch]}, positions that the cache holds already */
    Tensor forward(Ops ops, Tensor x, Tensor past) {
        norm.forward(ops, x, normed);
        toQkv.forward(ops, normed, null, qkv);
        ops.cachedAttention(shape, qkv, bias, cache, past, attended);
        toOut.forward(ops, attended, x, out);
        return out;
    }
}
