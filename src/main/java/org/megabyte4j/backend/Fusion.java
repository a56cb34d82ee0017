package org.megabyte4j.backend;

import org.megabyte4j.tensor.DType;

/**
 * Which layers of a model a backend computes at once, instead of step by step. A graph asks when it is built, because a
 * layer that is computed at once may keep less for backward.
 */
public interface Fusion {
    /** Every layer step by step, which all backends do. */
    Fusion NONE = new Fusion() {
        private final Support none = Support.no("layers are computed step by step");

        @Override
        public Support feedForward(DType dtype, long dim, long hidden) {
            return none;
        }

        @Override
        public Support selfAttention(DType dtype, long dim, AttentionShape shape) {
            return none;
        }
    };

    /**
     * Whether {@link Ops#feedForward} and its backward compute layers of these sizes.
     *
     * @param dtype  of weights and activations
     * @param dim    of the layer's input and result
     * @param hidden columns between its matrices
     */
    Support feedForward(DType dtype, long dim, long hidden);

    /**
     * Whether {@link Ops#selfAttention} and its backward compute layers of these sizes.
     *
     * @param dtype of weights and activations
     * @param dim   of the layer's input and result
     */
    Support selfAttention(DType dtype, long dim, AttentionShape shape);
}
