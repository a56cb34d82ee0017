package org.megabyte4j.model;

import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** {@link FeedForward} at once, where the backend does that. Nothing is kept between the matrices. */
final class FusedFeedForward implements FeedForwardLayer {
    private final FeedForwardParameters weights;
    private final FeedForwardParameters gradients;
    private final FeedForwardFactors factors;   // scratch
    private final Tensor mean;                  // F32 [rows]
    private final Tensor rstd;                  // F32 [rows]

    private Tensor x;

    FusedFeedForward(GraphBuilder graph, String name, long rows, long dim) {
        weights = new FeedForwardParameters(graph.weight(name + "0.weight"), graph.weight(name + "0.bias"),
                graph.matrix(name + "1.weight"), graph.weight(name + "1.bias"), graph.matrix(name + "4.weight"),
                graph.weight(name + "4.bias"));
        gradients = new FeedForwardParameters(graph.gradient(name + "0.weight"), graph.gradient(name + "0.bias"),
                graph.gradient(name + "1.weight"), graph.gradient(name + "1.bias"), graph.gradient(name + "4.weight"),
                graph.gradient(name + "4.bias"));
        factors = new FeedForwardFactors(graph.backwardScratch("normed", rows, dim),
                graph.backwardScratch("activated", rows, 4 * dim), graph.backwardScratch("dHidden", rows, 4 * dim),
                graph.backwardScratch("dOut", rows, dim));
        mean = graph.statistic(name, "mean", rows);
        rstd = graph.statistic(name, "rstd", rows);
    }

    @Override
    public void forward(Ops ops, Tensor x, Tensor out) {
        this.x = x;
        ops.feedForward(weights, x, out, mean, rstd);
    }

    /** The statistics, which other rows may have overwritten. */
    @Override
    public void again(Ops ops, Tensor x) {
        this.x = x;
        ops.layerNorm(x, weights.norm(), weights.normBias(), factors.normed(), mean, rstd);
    }

    @Override
    public void backward(Ops ops, Tensor d) {
        ops.feedForwardBackward(weights, x, mean, rstd, d, factors, gradients);
        ops.linearWeightGradient(factors.normed(), factors.dHidden(), gradients.expand(), null);
        ops.linearWeightGradient(factors.activated(), factors.dOut(), gradients.contract(), null);
    }
}
