package org.megabyte4j.model;

import org.megabyte4j.backend.Fusion;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * What the layers of one graph are built from: the shared weights, the gradient arena of this graph, and the plan that
 * its buffers come from.
 */
final class GraphBuilder {
    /** What of the activations has buffers of its own; each of these keeps what those before it keep. */
    enum Keep {
        /** Nothing: layers share one set of buffers. */
        NOTHING,
        /** Results of layers, of which everything else can be computed again, and statistics, which are small. */
        RESULTS,
        /** Results of attention too. */
        ATTENTION,
        /** All that backward needs. */
        ALL
    }

    private final Parameters parameters;
    private final Tensor gradients;
    private final MemoryPlan plan;
    private final Keep keep;
    private final long chunk;
    private final boolean passing;
    private final Progress progress;
    private final Tensor matrices;   // mirrors the parameters; null for what the model reads
    private final Fusion fusion;

    private GraphBuilder(Parameters parameters, Tensor gradients, MemoryPlan plan, Keep keep, long chunk,
            boolean passing, Progress progress, Tensor matrices, Fusion fusion) {
        this.parameters = parameters;
        this.gradients = gradients;
        this.plan = plan;
        this.keep = keep;
        this.chunk = chunk;
        this.passing = passing;
        this.progress = progress;
        this.matrices = matrices;
        this.fusion = fusion;
    }

    /**
     * @param gradients arena that mirrors the parameters, or null for a graph that only runs forward
     * @param fusion    which layers the backend computes at once
     */
    GraphBuilder(Parameters parameters, Tensor gradients, MemoryPlan plan, Fusion fusion) {
        this(parameters, gradients, plan, gradients == null ? Keep.NOTHING : Keep.ALL, Long.MAX_VALUE, false,
                new Progress(), null, fusion);
    }

    /**
     * For layers that keep less, and compute it again in backward.
     *
     * @param rows how many of them a feed-forward whose rows are not kept takes at once
     */
    GraphBuilder keeping(Keep what, long rows) {
        return new GraphBuilder(parameters, gradients, plan, what, rows, passing, progress, matrices, fusion);
    }

    /**
     * For a graph that goes forward and backward over a part of the rows, and then over the next: what it keeps is
     * shared by all that are built with this.
     */
    GraphBuilder inPassing() {
        return new GraphBuilder(parameters, gradients, plan, keep, chunk, true, progress, matrices, fusion);
    }

    /** For Linear layers that read their matrices from a copy of the parameters, in its type; null for none. */
    GraphBuilder withMatrices(Tensor copy) {
        return new GraphBuilder(parameters, gradients, plan, keep, chunk, passing, progress, copy, fusion);
    }

    Fusion fusion() {
        return fusion;
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

    /** Hears from the layers of this graph. */
    Progress progress() {
        return progress;
    }

    boolean runsBackward() {
        return gradients != null;
    }

    /** Whether all that backward needs is there when it begins. */
    boolean keeps(Keep what) {
        return keep.compareTo(what) >= 0;
    }

    /** How many of a feed-forward's rows go through it at once. */
    long rowsAtOnce(long rows) {
        return keeps(Keep.ALL) ? rows : Math.min(rows, chunk);
    }

    /**
     * Activations that backward needs: a buffer of its own where layers keep so much, else scratch.
     *
     * @param what  how much layers must keep for it to be kept
     * @param layer whose it is, such as {@code g_transformer.layers.0.1.}
     * @param name  of the scratch
     */
    Tensor kept(Keep what, String layer, String name, long... shape) {
        return kept(what, layer, name, dtype(), shape);
    }

    /** What backward needs of a reduction, F32 whatever the layers compute in; it is small, and kept with results. */
    Tensor statistic(String layer, String name, long... shape) {
        return kept(Keep.RESULTS, layer, name, DType.F32, shape);
    }

    private Tensor kept(Keep what, String layer, String name, DType type, long... shape) {
        if (!keeps(what)) {
            return plan.scratch(name, type, shape);
        }
        return passing ? plan.scratch(layer + name, type, shape)
                : plan.tensor(MemoryPlan.Category.ACTIVATIONS, layer + name, type, shape);
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
