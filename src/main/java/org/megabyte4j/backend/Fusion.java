package org.megabyte4j.backend;

import org.megabyte4j.tensor.DType;

/**
 * Which layers of a model a backend computes at once, instead of step by step. A graph asks when it is built, because a
 * layer that is computed at once keeps less for backward.
 */
public interface Fusion {
    /** Every layer step by step, which all backends do. */
    Fusion NONE = (dtype, dim, hidden) -> Support.no("layers are computed step by step");

    /**
     * Whether {@link Ops#feedForward} and its backward compute layers of these sizes.
     *
     * @param dtype  of weights and activations
     * @param dim    of the layer's input and result
     * @param hidden columns between its matrices
     */
    Support feedForward(DType dtype, long dim, long hidden);
}
