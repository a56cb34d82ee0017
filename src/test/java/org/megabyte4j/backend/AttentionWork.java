package org.megabyte4j.backend;

import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.tensor.Tensor;

/** Attention without a cache, for {@link Comparison} on any device. */
public final class AttentionWork {
    private AttentionWork() {
    }

    /** Forward, and backward from what that kept. */
    public static Function<Tensors, Consumer<Ops>> forwardAndBackward(AttentionShape shape, AttentionBias bias) {
        return t -> {
            Tensor qkv = t.random(shape.rows(), shape.packedWidth());
            Tensor dOut = t.random(shape.rows(), shape.width());
            Tensor out = t.result("out", shape.rows(), shape.width());
            Tensor logSumExp = t.float32Result("logSumExp", shape.batch(), shape.heads(), shape.length());
            Tensor dQkv = t.result("dQkv", shape.rows(), shape.packedWidth());
            return ops -> {
                ops.causalAttention(shape, qkv, bias, out, logSumExp);
                ops.causalAttentionBackward(shape, qkv, bias, out, logSumExp, dOut, dQkv);
            };
        };
    }
}
