package org.megabyte4j.jmh;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** A Linear layer; 2 * rows * in * out floating-point operations each. */
public class LinearBenchmark extends OperationBenchmark {
    /** rows x in x out: the global and the local feed-forward of the presets benchmark and small, and the head. */
    @Param({"256x1024x4096", "2048x256x1024", "512x256x1024", "4096x128x512", "2048x256x512"})
    public String shape;

    private Tensor x;
    private Tensor weight;
    private Tensor bias;
    private Tensor out;
    private Tensor dOut;
    private Tensor dX;
    private Tensor dWeight;
    private Tensor dBias;

    @Override
    void plan(Program tensors) {
        int[] sizes = Program.sizes(shape);
        x = tensors.values(sizes[0], sizes[1]);
        weight = tensors.values(sizes[2], sizes[1]);
        bias = tensors.values(sizes[2]);
        out = tensors.empty(sizes[0], sizes[2]);
        dOut = tensors.values(sizes[0], sizes[2]);
        dX = tensors.empty(sizes[0], sizes[1]);
        dWeight = tensors.empty(sizes[2], sizes[1]);
        dBias = tensors.empty(sizes[2]);
    }

    @Override
    void everything(Ops on) {
        on.linear(x, weight, bias, null, out);
        on.linearInputGradient(dOut, weight, null, dX);
        on.linearWeightGradient(x, dOut, dWeight, dBias);
    }

    @Benchmark
    public void forward() {
        ops().linear(x, weight, bias, null, out);
        done();
    }

    @Benchmark
    public void inputGradient() {
        ops().linearInputGradient(dOut, weight, null, dX);
        done();
    }

    @Benchmark
    public void weightGradient() {
        ops().linearWeightGradient(x, dOut, dWeight, dBias);
        done();
    }
}
