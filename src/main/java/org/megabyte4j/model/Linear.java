package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@code x W^T + bias}: weight {@code [out, in]}, bias {@code [out]} or none. */
final class Linear {
    private final Tensor weight;
    private final Tensor bias;
    private final Tensor dWeight;
    private final Tensor dBias;

    private Linear(Tensor weight, Tensor bias, Tensor dWeight, Tensor dBias) {
        this.weight = weight;
        this.bias = bias;
        this.dWeight = dWeight;
        this.dBias = dBias;
    }

    /** The layer whose parameters are {@code <name>.weight} and {@code <name>.bias}. */
    static Linear withBias(GraphBuilder graph, String name) {
        return new Linear(graph.matrix(name + ".weight"), graph.weight(name + ".bias"),
                graph.gradient(name + ".weight"), graph.gradient(name + ".bias"));
    }

    /** As {@link #withBias}, but in float32 whatever the graph computes in: for backward of what is float32 anyway. */
    static Linear inFullPrecision(GraphBuilder graph, String name) {
        return new Linear(graph.masterWeight(name + ".weight"), graph.masterWeight(name + ".bias"),
                graph.gradient(name + ".weight"), graph.gradient(name + ".bias"));
    }

    /** One product for several neighbouring weights, without bias. */
    static Linear withoutBias(GraphBuilder graph, String... weights) {
        return new Linear(graph.matrix(weights), null, graph.gradients(weights), null);
    }

    /** @param addend added to the result, or null */
    void forward(Ops ops, Tensor x, Tensor addend, Tensor out) {
        ops.linear(x, weight, bias, addend, out);
    }

    /** Forward with the exact GELU behind it. */
    void forwardGelu(Ops ops, Tensor x, Tensor preActivation, Tensor activated) {
        ops.linearGelu(x, weight, bias, preActivation, activated);
    }

    /** Adds to the parameters' gradients. */
    void backwardWeights(Ops ops, Tensor x, Tensor dOut) {
        ops.linearWeightGradient(x, dOut, dWeight, dBias);
    }

    /** @param addend added to the result, or null */
    void backwardInput(Ops ops, Tensor dOut, Tensor addend, Tensor dX) {
        ops.linearInputGradient(dOut, weight, addend, dX);
    }
}
