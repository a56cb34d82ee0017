package org.megabyte4j.jmh;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Causal attention with one key/value head: over patches, and over the bytes inside each patch. */
public class AttentionBenchmark extends OperationBenchmark {
    /** batch x length x heads x head size: global, then local, of the presets benchmark and small. */
    @Param({"1x256x16x64", "256x8x4x64", "4x128x4x64", "512x8x4x32", "1x1024x16x64"})
    public String shape;

    @Param({"ALIBI", "NONE"})
    public AttentionBias bias;

    private AttentionShape sizes;
    private Tensor qkv;
    private Tensor out;
    private Tensor logSumExp;
    private Tensor dOut;
    private Tensor dQkv;

    @Override
    void plan(Program tensors) {
        int[] numbers = Program.sizes(shape);
        sizes = new AttentionShape(numbers[0], numbers[1], numbers[2], 1, numbers[3]);
        qkv = tensors.values(sizes.rows(), sizes.packedWidth());
        out = tensors.empty(sizes.rows(), sizes.width());
        logSumExp = tensors.empty(sizes.batch(), sizes.heads(), sizes.length());
        dOut = tensors.values(sizes.rows(), sizes.width());
        dQkv = tensors.empty(sizes.rows(), sizes.packedWidth());
    }

    @Override
    void everything(Ops on) {
        on.causalAttention(sizes, qkv, bias, out, logSumExp);
        on.causalAttentionBackward(sizes, qkv, bias, out, logSumExp, dOut, dQkv);
    }

    @Benchmark
    public void forward() {
        ops().causalAttention(sizes, qkv, bias, out, logSumExp);
        done();
    }

    @Benchmark
    public void backward() {
        ops().causalAttentionBackward(sizes, qkv, bias, out, logSumExp, dOut, dQkv);
        done();
    }
}
