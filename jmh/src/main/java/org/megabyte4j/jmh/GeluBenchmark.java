package org.megabyte4j.jmh;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** The exact GELU: fused into the Linear layer before it, to be held against {@link LinearBenchmark}, and backward. */
public class GeluBenchmark extends OperationBenchmark {
    /** rows x in x out, as of {@link LinearBenchmark}. */
    @Param({"256x1024x4096", "2048x256x1024", "512x256x1024", "4096x128x512"})
    public String shape;

    private Tensor x;
    private Tensor weight;
    private Tensor bias;
    private Tensor preActivation;
    private Tensor activated;
    private Tensor dActivated;
    private Tensor dX;

    @Override
    void plan(Program tensors) {
        int[] sizes = Program.sizes(shape);
        x = tensors.values(sizes[0], sizes[1]);
        weight = tensors.values(sizes[2], sizes[1]);
        bias = tensors.values(sizes[2]);
        preActivation = tensors.empty(sizes[0], sizes[2]);
        activated = tensors.empty(sizes[0], sizes[2]);
        dActivated = tensors.values(sizes[0], sizes[2]);
        dX = tensors.empty(sizes[0], sizes[2]);
    }

    @Override
    void everything(Ops on) {
        on.linearGelu(x, weight, bias, preActivation, activated);
        on.geluBackward(preActivation, dActivated, dX, activated);
    }

    @Benchmark
    public void linearGelu() {
        ops().linearGelu(x, weight, bias, preActivation, activated);
        done();
    }

    @Benchmark
    public void backward() {
        ops().geluBackward(preActivation, dActivated, dX, activated);
        done();
    }
}
