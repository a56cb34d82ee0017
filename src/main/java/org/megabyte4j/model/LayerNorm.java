package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** LayerNorm over rows of {@code dim}. Keeps the statistics; its output is cheap to compute again. */
final class LayerNorm {
    private final Tensor weight;
    private final Tensor bias;
    private final Tensor dWeight;
    private final Tensor dBias;
    private final Tensor mean;     // F32 [rows]
    private final Tensor rstd;     // F32 [rows]

    LayerNorm(GraphBuilder graph, String name, long rows) {
        weight = graph.weight(name + ".weight");
        bias = graph.weight(name + ".bias");
        dWeight = graph.gradient(name + ".weight");
        dBias = graph.gradient(name + ".bias");
        mean = graph.statistic(name, "mean", rows);
        rstd = graph.statistic(name, "rstd", rows);
    }

    void forward(Ops ops, Tensor x, Tensor out) {
        ops.layerNorm(x, weight, bias, out, mean, rstd);
    }

    /** What {@link #forward} gave. */
    void again(Ops ops, Tensor x, Tensor out) {
        ops.layerNormAgain(x, weight, bias, mean, rstd, out);
    }

    /** {@code d += gradient of x}: the residual connection passes {@code d} on as it is. */
    void backward(Ops ops, Tensor dOut, Tensor x, Tensor d) {
        ops.layerNormBackward(dOut, x, weight, mean, rstd, d, d, dWeight, dBias);
    }
}
