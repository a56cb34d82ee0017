package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@code x + to_out(attention(to_q(norm(x)), to_kv(norm(x))))}, causal, one key/value head for all query heads. */
final class SelfAttention implements Block {
    private final AttentionShape shape;
    private final AttentionBias bias;
    private final LayerNorm norm;
    private final Linear toQkv;
    private final Linear toOut;
    private final Tensor normed;      // [rows, dim], scratch
    private final Tensor qkv;         // [rows, (heads + 2) * headSize]
    private final Tensor attended;    // [rows, heads * headSize]
    private final Tensor logSumExp;   // F32 [batch, heads, length]
    private final Tensor out;         // [rows, dim]
    private final Tensor dNormed;     // [rows, dim], scratch
    private final Tensor dQkv;        // as qkv, scratch
    private final Tensor dAttended;   // as attended, scratch

    private Tensor x;

    /** At once where the backend does that, else step by step. */
    static Block of(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias) {
        return graph.fusion().selfAttention(graph.dtype(), dim, shape).isThere()
                ? new FusedSelfAttention(graph, name, dim, shape, bias)
                : new SelfAttention(graph, name, dim, shape, bias);
    }

    SelfAttention(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias) {
        this.shape = shape;
        this.bias = bias;
        long rows = shape.rows();
        norm = new LayerNorm(graph, name + "norm", rows);
        toQkv = Linear.withoutBias(graph, name + "to_q.weight", name + "to_kv.weight");
        toOut = Linear.withoutBias(graph, name + "to_out.weight");
        normed = graph.scratch("normed", rows, dim);
        qkv = graph.kept("qkv", rows, shape.packedWidth());
        attended = graph.kept("attended", rows, shape.width());
        logSumExp = graph.statistic("logSumExp", shape.batch(), shape.heads(), shape.length());
        out = graph.kept("attentionOut", rows, dim);
        dNormed = graph.backwardScratch("dNormed", rows, dim);
        dQkv = graph.backwardScratch("dQkv", rows, shape.packedWidth());
        dAttended = graph.backwardScratch("dAttended", rows, shape.width());
    }

    @Override
    public Tensor forward(Ops ops, Tensor x) {
        this.x = x;
        norm.forward(ops, x, normed);
        toQkv.forward(ops, normed, null, qkv);
        ops.causalAttention(shape, qkv, bias, attended, logSumExp);
        toOut.forward(ops, attended, x, out);
        return out;
    }

    @Override
    public void backward(Ops ops, Tensor d) {
        toOut.backwardInput(ops, d, null, dAttended);
        toOut.backwardWeights(ops, attended, d);
        ops.causalAttentionBackward(shape, qkv, bias, attended, logSumExp, dAttended, dQkv);
        toQkv.backwardInput(ops, dQkv, null, dNormed);
        norm.again(ops, x, normed);
        toQkv.backwardWeights(ops, normed, dQkv);
        norm.backward(ops, dNormed, x, d);
    }
}
