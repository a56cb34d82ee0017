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

    /** @param gradients arena that mirrors the parameters, or null for a graph that only runs forward */
    GraphBuilder(Parameters parameters, Tensor gradients, MemoryPlan plan) {
        this.parameters = parameters;
        this.gradients = gradients;
        this.plan = plan;
    }

    MegabyteConfig config() {
        return parameters.config();
    }

    Tensor weight(String name) {
        return parameters.get(name);
    }

    /** Neighbouring matrices as one. */
    Tensor weights(String... names) {
        return parameters.layout().groupView(parameters.arena(), names);
    }

    /** The gradient of a parameter; null in a graph that only runs forward. */
    Tensor gradient(String name) {
        return gradients == null ? null : parameters.layout().view(gradients, name);
    }

    Tensor gradients(String... names) {
        return gradients == null ? null : parameters.layout().groupView(gradients, names);
    }

    boolean runsBackward() {
        return gradients != null;
    }

    /** What backward needs: a buffer of its own, or shared scratch in a graph that only runs forward. */
    Tensor kept(String name, long... shape) {
        return runsBackward() ? plan.tensor(MemoryPlan.Category.ACTIVATIONS, name, DType.F32, shape)
                : plan.scratch(name, DType.F32, shape);
    }

    /** A buffer that the next layer may overwrite. */
    Tensor scratch(String name, long... shape) {
        return plan.scratch(name, DType.F32, shape);
    }

    /** A scratch buffer that only backward uses; null in a graph that only runs forward. */
    Tensor backwardScratch(String name, long... shape) {
        return runsBackward() ? scratch(name, shape) : null;
    }
}
