package org.megabyte4j.jmh;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Presets;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/**
 * One update of all parameters. It changes them in place, as it must; gradients and learning rate are constant, so that
 * the moments settle and the parameters wander without ever becoming subnormal or infinite.
 */
public class OptimizerBenchmark extends OperationBenchmark {
    @Param({"small", "benchmark"})
    public String preset;

    private final Ops.AdamWSettings adam = new Ops.AdamWSettings(0.9f, 0.95f, 1e-8f, 0.1f);
    private final Ops.AdafactorSettings factored = new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, true, 0.1f, false);
    private ParameterLayout layout;
    private boolean[] decays;
    private Ops.Clip clip;
    private Tensor scalars;
    private Tensor norm;
    private Tensor parameters;
    private Tensor gradients;
    private Tensor first;
    private Tensor second;
    private Tensor secondBf16;
    private Tensor compensation;
    private Tensor state;

    @Override
    void plan(Program tensors) {
        layout = ModelLayout.of(Presets.named(preset));
        decays = new boolean[layout.entries().size()];
        for (int i = 0; i < decays.length; i++) {
            decays[i] = layout.entries().get(i).decayed();
        }
        scalars = tensors.of(StepScalars.of(1e-4f, 1, 1, 0.99f));
        norm = tensors.empty(1);
        clip = new Ops.Clip(norm, 1);
        parameters = tensors.values(layout.elements());
        gradients = tensors.values(layout.elements());
        first = tensors.empty(layout.elements());
        second = tensors.empty(layout.elements());
        secondBf16 = tensors.empty(DType.BF16, layout.elements());
        compensation = tensors.empty(DType.BF16, layout.elements());
        state = tensors.empty(Ops.adafactorStateElements(layout));
    }

    @Override
    void everything(Ops on) {
        on.norm(gradients, norm);
        on.adamW(adam, layout, decays, scalars, clip, parameters, null, gradients, first, second);
        on.adafactor(factored, layout, decays, scalars, clip, parameters, null, gradients, state);
        on.anyPrecisionAdamW(adam, layout, decays, scalars, clip, parameters, null, gradients, first, secondBf16,
                compensation);
    }

    @Benchmark
    public void gradientNorm() {
        ops().norm(gradients, norm);
        done();
    }

    @Benchmark
    public void adamW() {
        ops().adamW(adam, layout, decays, scalars, clip, parameters, null, gradients, first, second);
        done();
    }

    @Benchmark
    public void adafactor() {
        ops().adafactor(factored, layout, decays, scalars, clip, parameters, null, gradients, state);
        done();
    }

    @Benchmark
    public void anyPrecisionAdamW() {
        ops().anyPrecisionAdamW(adam, layout, decays, scalars, clip, parameters, null, gradients, first, secondBf16,
                compensation);
        done();
    }
}
