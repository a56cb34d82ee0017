package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.GraphBuilder.Keep;
import org.megabyte4j.tensor.Tensor;

/** {@code x + to_out(attention(to_q(norm(x)), to_kv(norm(x))))}, causal, one key/value head for all query heads. */
final class SelfAttention implements AttentionLayer {
    private final AttentionShape shape;
    private final AttentionBias bias;
    private final LayerNorm norm;
    private final Linear toQkv;
    private final Linear toOut;
    private final Tensor normed;      // [rows, dim], scratch
    private final Tensor qkv;         // [rows, (heads + 2) * headSize]
    private final Tensor attended;    // [rows, heads * headSize]
    private final boolean attentionKept;
    private final Tensor logSumExp;   // F32 [batch, heads, length]
    private final Tensor out;         // [rows, dim]
    private final Tensor dNormed;     // [rows, dim], scratch
    private final Tensor dQkv;        // as qkv, scratch
    private final Tensor dAttended;   // as attended, scratch

    private Tensor x;

    SelfAttention(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias) {
        this.shape = shape;
        this.bias = bias;
        long rows = shape.rows();
        norm = new LayerNorm(graph, name + "norm", rows);
        toQkv = Linear.withoutBias(graph, name + "to_q.weight", name + "to_kv.weight");
        toOut = Linear.withoutBias(graph, name + "to_out.weight");
        // What is never needed at the same time has one buffer, the result too if it is not kept.
        String passing = graph.keeps(Keep.ALL) ? "normed" : "attentionOut";
        normed = graph.scratch(passing, rows, dim);
        dAttended = graph.backwardScratch(passing, rows, shape.width());
        qkv = graph.kept(Keep.ALL, name, "qkv", rows, shape.packedWidth());
        attended = graph.kept(Keep.ATTENTION, name, "attended", rows, shape.width());
        attentionKept = graph.keeps(Keep.ATTENTION);
        logSumExp = graph.statistic(name, "logSumExp", shape.batch(), shape.heads(), shape.length());
        out = graph.kept(Keep.ALL, name, "attentionOut", rows, dim);
        dNormed = normed;
        dQkv = graph.backwardScratch("dQkv", rows, shape.packedWidth());
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
    public void again(Ops ops) {
        norm.forward(ops, x, normed);
        toQkv.forward(ops, normed, null, qkv);
        if (!attentionKept) {
            ops.causalAttention(shape, qkv, bias, attended, logSumExp);
        }
        toOut.forward(ops, attended, x, out);
    }

    @Override
    public void backward(Ops ops, Tensor d) {
        toOut.backwardInput(ops, d, null, dAttended);
        toOut.backwardWeights(ops, attended, d);
        ops.causalAttentionBackward(shape, qkv, bias, attended, logSumExp, dAttended, dQkv);
        norm.again(ops, x, normed);
        toQkv.backwardWeights(ops, normed, dQkv);
        toQkv.backwardInput(ops, dQkv, null, dNormed);
        norm.backward(ops, dNormed, x, d);
    }
}
