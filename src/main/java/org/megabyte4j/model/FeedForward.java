package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@code x + contract(gelu(expand(norm(x))))}, four times as wide inside. */
final class FeedForward implements FeedForwardLayer {
    private final LayerNorm norm;
    private final Linear expand;
    private final Linear contract;
    private final Tensor normed;      // [rows, dim], scratch
    private final Tensor hidden;      // [rows, 4 * dim] before GELU; backward turns it into the activation again
    private final Tensor activated;   // [rows, 4 * dim], scratch
    private final Tensor dNormed;     // [rows, dim], scratch
    private final Tensor dHidden;     // [rows, 4 * dim], scratch

    private Tensor x;

    FeedForward(GraphBuilder graph, String name, long rows, long dim) {
        norm = new LayerNorm(graph, name + "0", rows);
        expand = Linear.withBias(graph, name + "1");
        contract = Linear.withBias(graph, name + "4");
        normed = graph.scratch("normed", rows, dim);
        hidden = graph.kept(GraphBuilder.Keep.ALL, name, "hidden", rows, 4 * dim);
        activated = graph.scratch("activated", rows, 4 * dim);
        // Forward is over when backward begins: its scratch serves again.
        dHidden = activated;
        dNormed = normed;
    }

    @Override
    public void forward(Ops ops, Tensor x, Tensor out) {
        this.x = x;
        norm.forward(ops, x, normed);
        expand.forwardGelu(ops, normed, hidden, activated);
        contract.forward(ops, activated, x, out);
    }

    @Override
    public void again(Ops ops, Tensor x) {
        this.x = x;
        norm.forward(ops, x, normed);
        expand.forward(ops, normed, null, hidden);
    }

    @Override
    public void backward(Ops ops, Tensor d) {
        contract.backwardInput(ops, d, null, dHidden);
        ops.geluBackward(hidden, dHidden, dHidden, hidden);
        contract.backwardWeights(ops, hidden, d);
        norm.again(ops, x, normed);
        expand.backwardWeights(ops, normed, dHidden);
        expand.backwardInput(ops, dHidden, null, dNormed);
        norm.backward(ops, dNormed, x, d);
    }
}
