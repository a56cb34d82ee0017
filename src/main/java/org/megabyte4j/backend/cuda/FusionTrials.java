package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.function.Consumer;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Whether the GPU is faster with layers at once than step by step, forward and backward together. A graph asks when it
 * is built, so it is decided then: on as many rows as keep the GPU busy, whatever the graph's number is.
 */
final class FusionTrials {
    /** How often the blocks fill the GPU. */
    private static final long WAVES = 4;

    private final CudaKernels kernels;
    private final long rows;

    FusionTrials(CudaKernels kernels, int multiprocessors) {
        this.kernels = kernels;
        rows = LayerTile.ROWS * WAVES * multiprocessors;
    }

    /** The tensors of a trial. */
    private record Scratch(MemoryPlan plan) {
        Tensor bf16(long... shape) {
            return plan.tensor(MemoryPlan.Category.WORKSPACE, "trial", DType.BF16, shape);
        }

        Tensor float32(long... shape) {
            return plan.tensor(MemoryPlan.Category.WORKSPACE, "trial", DType.F32, shape);
        }
    }

    boolean feedForward(long dim, long hidden) {
        return isFaster("feed_forward layer " + dim + ", " + hidden + " hidden, bf16", scratch -> {
            Scratch t = new Scratch(scratch);
            FeedForwardParameters w = new FeedForwardParameters(t.bf16(dim), t.bf16(dim), t.bf16(hidden, dim),
                    t.bf16(hidden), t.bf16(dim, hidden), t.bf16(dim));
            FeedForwardParameters g = new FeedForwardParameters(t.float32(dim), t.float32(dim), t.float32(hidden, dim),
                    t.float32(hidden), t.float32(dim, hidden), t.float32(dim));
            FeedForwardFactors f = new FeedForwardFactors(t.bf16(rows, dim), t.bf16(rows, hidden),
                    t.bf16(rows, hidden), t.bf16(rows, dim));
            Tensor x = t.bf16(rows, dim);
            Tensor out = t.bf16(rows, dim);
            Tensor mean = t.float32(rows);
            Tensor rstd = t.float32(rows);
            Tensor d = t.bf16(rows, dim);
            return ways(scratch, ops -> {
                ops.layerNorm(x, w.norm(), w.normBias(), f.normed(), mean, rstd);
                ops.linearGelu(f.normed(), w.expand(), w.expandBias(), f.activated(), f.dHidden());
                ops.linear(f.dHidden(), w.contract(), w.contractBias(), x, out);
                ops.linearInputGradient(d, w.contract(), null, f.dHidden());
                ops.geluBackward(f.activated(), f.dHidden(), f.dHidden(), f.activated());
                ops.linearWeightGradient(f.activated(), d, g.contract(), g.contractBias());
                ops.layerNormAgain(x, w.norm(), w.normBias(), mean, rstd, f.normed());
                ops.linearWeightGradient(f.normed(), f.dHidden(), g.expand(), g.expandBias());
                ops.linearInputGradient(f.dHidden(), w.expand(), null, f.dOut());
                ops.layerNormBackward(f.dOut(), x, w.norm(), mean, rstd, d, d, g.norm(), g.normBias());
            }, ops -> {
                ops.feedForward(w, x, out, mean, rstd);
                ops.feedForwardBackward(w, x, mean, rstd, d, f, g);
                ops.linearWeightGradient(f.normed(), f.dHidden(), g.expand(), null);
                ops.linearWeightGradient(f.activated(), f.dOut(), g.contract(), null);
            });
        });
    }

    boolean selfAttention(long dim, AttentionShape layer) {
        AttentionShape shape = new AttentionShape(Math.ceilDiv(rows, layer.length()), layer.length(), layer.heads(),
                layer.keyValueHeads(), layer.headSize());
        return isFaster("self_attention layer " + dim + ", " + shape.heads() + " heads of " + shape.headSize() + " over "
                + shape.length() + ", bf16", scratch -> {
            Scratch t = new Scratch(scratch);
            long width = shape.width();
            long packed = shape.packedWidth();
            AttentionParameters w = new AttentionParameters(t.bf16(dim), t.bf16(dim), t.bf16(packed, dim),
                    t.bf16(dim, width));
            AttentionParameters g = new AttentionParameters(t.float32(dim), t.float32(dim), t.float32(packed, dim),
                    t.float32(dim, width));
            AttentionFactors f = new AttentionFactors(t.bf16(shape.rows(), dim), t.bf16(shape.rows(), packed),
                    t.bf16(shape.rows(), dim));
            Tensor x = t.bf16(shape.rows(), dim);
            Tensor qkv = t.bf16(shape.rows(), packed);
            Tensor attended = t.bf16(shape.rows(), width);
            Tensor logSumExp = t.float32(shape.batch(), shape.heads(), shape.length());
            Tensor dAttended = t.bf16(shape.rows(), width);
            Tensor out = t.bf16(shape.rows(), dim);
            Tensor mean = t.float32(shape.rows());
            Tensor rstd = t.float32(shape.rows());
            Tensor d = t.bf16(shape.rows(), dim);
            AttentionBias bias = AttentionBias.ALIBI;
            return ways(scratch, ops -> {
                ops.layerNorm(x, w.norm(), w.normBias(), f.normed(), mean, rstd);
                ops.linear(f.normed(), w.toQkv(), null, null, qkv);
                ops.causalAttention(shape, qkv, bias, attended, logSumExp);
                ops.linear(attended, w.toOut(), null, x, out);
                ops.linearInputGradient(d, w.toOut(), null, dAttended);
                ops.linearWeightGradient(attended, d, g.toOut(), null);
                ops.causalAttentionBackward(shape, qkv, bias, attended, logSumExp, dAttended, f.dQkv());
                ops.layerNormAgain(x, w.norm(), w.normBias(), mean, rstd, f.normed());
                ops.linearWeightGradient(f.normed(), f.dQkv(), g.toQkv(), null);
                ops.linearInputGradient(f.dQkv(), w.toQkv(), null, f.dOut());
                ops.layerNormBackward(f.dOut(), x, w.norm(), mean, rstd, d, d, g.norm(), g.normBias());
            }, ops -> {
                ops.selfAttention(shape, w, bias, x, qkv, attended, out, mean, rstd);
                ops.selfAttentionBackward(shape, w, bias, x, qkv, mean, rstd, d, f, g);
                ops.linearWeightGradient(f.normed(), f.dQkv(), g.toQkv(), null);
                ops.linearWeightGradient(attended, f.dOut(), g.toOut(), null);
            });
        });
    }

    private boolean isFaster(String what, Choice.Trial trial) {
        Choice choice = kernels.tuner().choice(what, List.of("step by step", "at once"), trial);
        kernels.tuner().decide(choice);
        return choice.taken() == 1;
    }

    /** Both with kernels loaded, products chosen and a workspace that suffices for either. */
    private List<Runnable> ways(MemoryPlan scratch, Consumer<Ops> steps, Consumer<Ops> atOnce) {
        CudaWorkspaceMeter meter = new CudaWorkspaceMeter(kernels);
        steps.accept(meter);
        atOnce.accept(meter);
        kernels.products().gemm().decide();
        CudaOps ops = new CudaOps(kernels, scratch.tensor(MemoryPlan.Category.WORKSPACE, "trial", DType.U8,
                meter.bytes()));
        return List.of(() -> steps.accept(ops), () -> atOnce.accept(ops));
    }
}
