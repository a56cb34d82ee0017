package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.GraphBuilder.Keep;
import org.megabyte4j.tensor.Tensor;

/** {@link SelfAttention} at once, where the backend does that. */
final class FusedSelfAttention implements AttentionLayer {
    private final AttentionShape shape;
    private final AttentionBias bias;
    private final AttentionParameters weights;
    private final AttentionParameters gradients;
    private final AttentionFactors factors;   // scratch
    private final Tensor qkv;                 // [rows, (heads + 2) * headSize]; null in a graph that only runs forward
    private final Tensor attended;            // [rows, heads * headSize], as qkv
    private final Tensor mean;                // F32 [rows]
    private final Tensor rstd;                // F32 [rows]
    private final Tensor out;                 // [rows, dim]

    private Tensor x;

    FusedSelfAttention(GraphBuilder graph, String name, long dim, AttentionShape shape, AttentionBias bias) {
        this.shape = shape;
        this.bias = bias;
        long rows = shape.rows();
        String[] toQkv = {name + "to_q.weight", name + "to_kv.weight"};
        weights = new AttentionParameters(graph.weight(name + "norm.weight"), graph.weight(name + "norm.bias"),
                graph.matrix(toQkv), graph.matrix(name + "to_out.weight"));
        gradients = new AttentionParameters(graph.gradient(name + "norm.weight"), graph.gradient(name + "norm.bias"),
                graph.gradients(toQkv), graph.gradient(name + "to_out.weight"));
        factors = new AttentionFactors(graph.backwardScratch("normed", rows, dim),
                graph.backwardScratch("dQkv", rows, shape.packedWidth()), graph.backwardScratch("dOut", rows, dim));
        qkv = graph.runsBackward() ? graph.kept(Keep.ALL, name, "qkv", rows, shape.packedWidth()) : null;
        attended = graph.runsBackward() ? graph.kept(Keep.ATTENTION, name, "attended", rows, shape.width()) : null;
        mean = graph.statistic(name, "mean", rows);
        rstd = graph.statistic(name, "rstd", rows);
        out = graph.kept(Keep.ALL, name, "attentionOut", rows, dim);
    }

    @Override
    public Tensor forward(Ops ops, Tensor x) {
        this.x = x;
        again(ops);
        return out;
    }

    @Override
    public void again(Ops ops) {
        ops.selfAttention(shape, weights, bias, x, qkv, attended, out, mean, rstd);
    }

    @Override
    public void backward(Ops ops, Tensor d) {
        ops.selfAttentionBackward(shape, weights, bias, x, qkv, mean, rstd, d, factors, gradients);
        ops.linearWeightGradient(factors.normed(), factors.dQkv(), gradients.toQkv(), null);
        ops.linearWeightGradient(attended, factors.dOut(), gradients.toOut(), null);
    }
}
