package org.megabyte4j.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) in float32. */
final class AdamW implements Optimizer {
    private final Ops.AdamWSettings settings;
    private final ParameterLayout layout;
    private final boolean[] decays;
    private final Tensor firstMoment;
    private final Tensor secondMoment;

    AdamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, MemoryPlan plan) {
        this.settings = settings;
        this.layout = layout;
        this.decays = decays;
        firstMoment = plan.tensor(MemoryPlan.Category.OPTIMIZER, "firstMoment", DType.F32, layout.elements());
        secondMoment = plan.tensor(MemoryPlan.Category.OPTIMIZER, "secondMoment", DType.F32, layout.elements());
    }

    /** The bias corrections, in double precision. */
    static void putScalars(Ops.AdamWSettings settings, long step, double learningRate, float[] scalars) {
        StepScalars.put(scalars, (float) learningRate, (float) (1 - Math.pow(settings.beta1(), step)),
                (float) (1 - Math.pow(settings.beta2(), step)), 0);
    }

    @Override
    public void putScalars(long step, double learningRate, float[] scalars) {
        putScalars(settings, step, learningRate, scalars);
    }

    @Override
    public void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients) {
        ops.adamW(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients, firstMoment,
                secondMoment);
    }

    @Override
    public Map<String, Tensor> state() {
        Map<String, Tensor> state = new LinkedHashMap<>();
        Optimizer.putViews(state, "exp_avg", layout, firstMoment);
        Optimizer.putViews(state, "exp_avg_sq", layout, secondMoment);
        return state;
    }
}
