package org.megabyte4j.model;

import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * What the layers of one graph are built from: the shared weights, the gradient arena of this graph, and the plan that
 * its buffers come from.
 */
final class GraphBuilder {
    private final Parameters parameters;
    private final Tensor gradients;
    private final MemoryPlan plan;
    private Tensor matrices;    // mirrors the parameters; null for what the model reads

    /** @param gradients arena that mirrors the parameters, or null for a graph that only runs forward */
    GraphBuilder(Parameters parameters, Tensor gradients, MemoryPlan plan) {
        this.parameters = parameters;
        this.gradients = gradients;
        this.plan = plan;
    }

    /** Has Linear layers read their matrices from a copy of the parameters, in its type; null for none. */
    GraphBuilder withMatrices(Tensor copy) {
        matrices = copy;
        return this;
    }

    MegabyteConfig config() {
        return parameters.config();
    }

    /** The type of weights and activations. */
    DType dtype() {
        return parameters.dtype();
    }

    /** A parameter as the layers read it, in {@link #dtype}. */
    Tensor weight(String name) {
        return parameters.layout().view(parameters.computeArena(), name);
    }

    /** The matrices of a Linear layer, neighbours as one. */
    Tensor matrix(String... names) {
        return parameters.layout().groupView(matrices == null ? parameters.computeArena() : matrices, names);
    }

    /** A parameter in full precision, F32. */
    Tensor masterWeight(String name) {
        return parameters.get(name);
    }

    /** The gradient of a parameter, F32; null in a graph that only runs forward. */
    Tensor gradient(String name) {
        return gradients == null ? null : parameters.layout().view(gradients, name);
    }

    Tensor gradients(String... names) {
        return gradients == null ? null : parameters.layout().groupView(gradients, names);
    }

    boolean runsBackward() {
        return gradients != null;
    }

    /** Activations that backward needs: a buffer of its own, or shared scratch in a graph that only runs forward. */
    Tensor kept(String name, long... shape) {
        return kept(name, dtype(), shape);
    }

    /** What backward needs of a reduction: as {@link #kept}, but F32 whatever the layers compute in. */
    Tensor statistic(String name, long... shape) {
        return kept(name, DType.F32, shape);
    }

    private Tensor kept(String name, DType type, long... shape) {
        return runsBackward() ? plan.tensor(MemoryPlan.Category.ACTIVATIONS, name, type, shape)
                : plan.scratch(name, type, shape);
    }

    /** Activations that the next layer may overwrite. */
    Tensor scratch(String name, long... shape) {
        return plan.scratch(name, dtype(), shape);
    }

    /** Gradients of activations, in scratch that only backward uses; null in a graph that only runs forward. */
    Tensor backwardScratch(String name, long... shape) {
        return runsBackward() ? scratch(name, shape) : null;
    }

    /** As {@link #backwardScratch} for gradients of what stands for parameters: F32. */
    Tensor gradientScratch(String name, long... shape) {
        return runsBackward() ? plan.scratch(name, DType.F32, shape) : null;
    }
}
