package org.megabyte4j.train;

import java.util.Map;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * What turns gradients into new parameters. Made by {@link OptimizerOptions#plan}, which plans its state; all zeros is
 * the state before the first step.
 *
 * <p>Weight decay is decoupled from the gradient and applies to the weights of Linear layers only
 * ({@link ParameterLayout.Entry#decayed}), unless everything is asked to decay.
 */
public interface Optimizer {
    /**
     * What changes from step to step.
     *
     * @param step         counted from 1
     * @param learningRate the schedule's rate; Adafactor has its own and does not look at it
     */
    StepScalars scalars(long step, double learningRate);

    /** Enqueues one step over the whole arena. */
    void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor gradients);

    /**
     * The state by name, for checkpoints. A tensor that mirrors the parameter arena is stored parameter by parameter;
     * see {@link #mirrorsParameters}.
     */
    Map<String, Tensor> state();

    /** Whether a state tensor has one element for each of the arena. */
    default boolean mirrorsParameters(Tensor state, ParameterLayout layout) {
        return state.elements() == layout.elements();
    }
}
