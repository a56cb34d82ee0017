package org.megabyte4j.jmh;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Softmax cross entropy. The model lets the gradient replace the logits; here they stay, to be the same each time. */
public class CrossEntropyBenchmark extends OperationBenchmark {
    private static final int PAD = 257;

    /** rows x vocabulary. */
    @Param({"2048x512", "4096x512"})
    public String shape;

    private Tensor logits;
    private Tensor targets;
    private Tensor count;
    private Tensor loss;
    private Tensor dLogits;

    @Override
    void plan(Program tensors) {
        int[] sizes = Program.sizes(shape);
        logits = tensors.values(sizes[0], sizes[1]);
        targets = tensors.ids(256, sizes[0]);
        count = tensors.empty(DType.I32, 1);
        loss = tensors.empty(1);
        dLogits = tensors.empty(sizes[0], sizes[1]);
    }

    @Override
    void everything(Ops on) {
        on.countTargets(targets, PAD, count);
        on.softmaxCrossEntropy(logits, targets, PAD, count, loss, null, 1);
        on.softmaxCrossEntropy(logits, targets, PAD, count, loss, dLogits, 1);
    }

    @Benchmark
    public void loss() {
        ops().softmaxCrossEntropy(logits, targets, PAD, count, loss, null, 1);
        done();
    }

    @Benchmark
    public void lossAndGradient() {
        ops().softmaxCrossEntropy(logits, targets, PAD, count, loss, dLogits, 1);
        done();
    }
}
