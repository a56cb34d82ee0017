package org.megabyte4j.train;

import java.util.Map;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) with its relative step: it needs no learning rate. */
final class Adafactor implements Optimizer {
    private final Ops.AdafactorSettings settings;
    private final double decayRate;
    private final ParameterLayout layout;
    private final boolean[] decays;
    private final Tensor squares;

    /** @param decayRate exponent of the growing memory, -0.8 in the paper */
    Adafactor(Ops.AdafactorSettings settings, double decayRate, ParameterLayout layout, boolean[] decays,
            MemoryPlan plan) {
        this.settings = settings;
        this.decayRate = decayRate;
        this.layout = layout;
        this.decays = decays;
        squares = plan.tensor(MemoryPlan.Category.OPTIMIZER, "squares", DType.F32, Ops.adafactorStateElements(layout));
    }

    @Override
    public StepScalars scalars(long step, double learningRate) {
        double relativeStep = Math.min(1e-2, 1 / Math.sqrt(step));
        return new StepScalars((float) relativeStep, 0, 0, (float) (1 - Math.pow(step, decayRate)));
    }

    @Override
    public void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor gradients) {
        ops.adafactor(settings, layout, decays, scalars, clip, parameters, gradients, squares);
    }

    @Override
    public Map<String, Tensor> state() {
        return Map.of("exp_avg_sq", squares);
    }

    @Override
    public boolean mirrorsParameters(Tensor state, ParameterLayout ofParameters) {
        return false;
    }
}
