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
     * @param scalars      gets {@link StepScalars}
     */
    void putScalars(long step, double learningRate, float[] scalars);

    /**
     * Enqueues one step over the whole arena.
     *
     * @param computeCopy BF16 mirror of the parameters, which the step keeps up to date; null for none
     */
    void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients);

    /** The state of each parameter, under names such as {@code exp_avg.to_logits.bias}: what a checkpoint holds. */
    Map<String, Tensor> state();

    /** Adds to {@code state} the views of an arena that mirrors the parameters, as {@code kind.<parameter>}. */
    static void putViews(Map<String, Tensor> state, String kind, ParameterLayout layout, Tensor arena) {
        for (String name : layout.names()) {
            state.put(kind + "." + name, layout.view(arena, name));
        }
    }
}
