package org.megabyte4j.jmh;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** LayerNorm, with its residual connection in backward. */
public class LayerNormBenchmark extends OperationBenchmark {
    /** rows x width: the global and the local stack of the presets benchmark and small. */
    @Param({"256x1024", "2048x256", "512x256", "4096x128"})
    public String shape;

    private Tensor x;
    private Tensor weight;
    private Tensor bias;
    private Tensor out;
    private Tensor mean;
    private Tensor rstd;
    private Tensor dOut;
    private Tensor dResidual;
    private Tensor dX;
    private Tensor dWeight;
    private Tensor dBias;

    @Override
    void plan(Program tensors) {
        int[] sizes = Program.sizes(shape);
        x = tensors.values(sizes[0], sizes[1]);
        weight = tensors.values(sizes[1]);
        bias = tensors.values(sizes[1]);
        out = tensors.empty(sizes[0], sizes[1]);
        mean = tensors.empty(sizes[0]);
        rstd = tensors.empty(sizes[0]);
        dOut = tensors.values(sizes[0], sizes[1]);
        dResidual = tensors.values(sizes[0], sizes[1]);
        dX = tensors.empty(sizes[0], sizes[1]);
        dWeight = tensors.empty(sizes[1]);
        dBias = tensors.empty(sizes[1]);
    }

    @Override
    void everything(Ops on) {
        on.layerNorm(x, weight, bias, out, mean, rstd);
        on.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias);
    }

    @Benchmark
    public void forward() {
        ops().layerNorm(x, weight, bias, out, mean, rstd);
        done();
    }

    @Benchmark
    public void backward() {
        ops().layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight, dBias);
        done();
    }
}
