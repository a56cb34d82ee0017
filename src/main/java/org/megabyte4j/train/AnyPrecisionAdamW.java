package org.megabyte4j.train;

import java.util.LinkedHashMap;
import java.util.Map;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** AdamW whose state may be bfloat16, with optional Kahan summation. */
final class AnyPrecisionAdamW implements Optimizer {
    private final Ops.AdamWSettings settings;
    private final ParameterLayout layout;
    private final boolean[] decays;
    private final Tensor firstMoment;
    private final Tensor secondMoment;
    private final Tensor compensation;

    /** @param compensationType null for plain summation */
    AnyPrecisionAdamW(Ops.AdamWSettings settings, DType momentumType, DType varianceType, DType compensationType,
            ParameterLayout layout, boolean[] decays, MemoryPlan plan) {
        this.settings = settings;
        this.layout = layout;
        this.decays = decays;
        MemoryPlan.Category category = MemoryPlan.Category.OPTIMIZER;
        firstMoment = plan.tensor(category, "firstMoment", momentumType, layout.elements());
        secondMoment = plan.tensor(category, "secondMoment", varianceType, layout.elements());
        compensation = compensationType == null ? null
                : plan.tensor(category, "compensation", compensationType, layout.elements());
    }

    @Override
    public void putScalars(long step, double learningRate, float[] scalars) {
        AdamW.putScalars(settings, step, learningRate, scalars);
    }

    @Override
    public void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients) {
        ops.anyPrecisionAdamW(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients, firstMoment,
                secondMoment, compensation);
    }

    @Override
    public Map<String, Tensor> state() {
        Map<String, Tensor> state = new LinkedHashMap<>();
        Optimizer.putViews(state, "exp_avg", layout, firstMoment);
        Optimizer.putViews(state, "exp_avg_sq", layout, secondMoment);
        if (compensation != null) {
            Optimizer.putViews(state, "compensation", layout, compensation);
        }
        return state;
    }
}
