package org.megabyte4j.train;

import java.util.LinkedHashMap;
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
    public void putScalars(long step, double learningRate, float[] scalars) {
        double relativeStep = Math.min(1e-2, 1 / Math.sqrt(step));
        StepScalars.put(scalars, (float) relativeStep, 0, 0, (float) (1 - Math.pow(step, decayRate)));
    }

    @Override
    public void step(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients) {
        ops.adafactor(settings, layout, decays, scalars, clip, parameters, computeCopy, gradients, squares);
    }

    @Override
    public Map<String, Tensor> state() {
        Map<String, Tensor> state = new LinkedHashMap<>();
        long at = 0;
        for (ParameterLayout.Entry entry : layout.entries()) {
            if (entry.shape().length == 2) {
                long rows = entry.shape()[0];
                long columns = entry.shape()[1];
                state.put("exp_avg_sq_row." + entry.name(), squares.part(at, rows));
                state.put("exp_avg_sq_col." + entry.name(), squares.part(at + rows, columns));
                at += rows + columns;
            } else {
                state.put("exp_avg_sq." + entry.name(), squares.part(at, entry.shape()));
                at += entry.elements();
            }
        }
        return state;
    }
}
