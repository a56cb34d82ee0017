package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Attention layers at once, {@code kernels/self_attention.cu}. */
final class SelfAttentionKernels {
    /** Widths that there are kernels for. */
    private static final List<Integer> DIMS = List.of(64, 128, 256);
    private static final int HEAD = 64;
    /** Rows of a warp, which has whole patches; of a block. */
    private static final int WARP_ROWS = 16;
    private static final int ROWS = 128;
    private static final int THREADS = 256;

    private final KernelModule module;
    private final Map<Integer, Kernel> kernels = new HashMap<>();

    SelfAttentionKernels(KernelLoader loader) {
        module = loader.module("self_attention");
    }

    /** Why there is no kernel for these sizes; empty if there is one. */
    static List<String> obstacles(DType dtype, long dim, AttentionShape shape) {
        List<String> obstacles = new ArrayList<>();
        if (dtype != DType.BF16) {
            obstacles.add("attention layers at once are computed in bf16, not in " + dtype.label());
        }
        if (dim > Integer.MAX_VALUE || !DIMS.contains((int) dim)) {
            obstacles.add("the layer's width is " + dim + "; it can be " + DIMS);
        }
        if (shape.length() > WARP_ROWS || WARP_ROWS % shape.length() != 0) {
            obstacles.add("its sequences have " + shape.length() + " positions; they can have 1, 2, 4, 8 or 16");
        }
        if (shape.headSize() != HEAD || shape.keyValueHeads() != 1) {
            obstacles.add("it has " + shape.keyValueHeads() + " key/value heads of size " + shape.headSize()
                    + "; it can have 1 of size " + HEAD);
        }
        return obstacles;
    }

    /** Dynamic shared memory of a block. */
    static int sharedBytes(int dim) {
        return Short.BYTES * (ROWS + 3 * HEAD) * dim;
    }

    /**
     * Readies the kernel for a layer.
     *
     * @param rows those of the layer's width
     * @throws ShapeException if there is none for it
     */
    void prepare(AttentionShape shape, AttentionParameters weights, Tensor... rows) {
        long dim = weights.dim();
        List<String> obstacles = obstacles(rows[0].dtype(), dim, shape);
        Launches.unaligned(obstacles, dim, rows);
        if (!obstacles.isEmpty()) {
            throw new ShapeException(String.join("; ", obstacles));
        }
        kernels.computeIfAbsent((int) dim, this::load);
    }

    private Kernel load(int dim) {
        return module.kernel("self_attention_" + dim + "_bf16", PTR, PTR, PTR, PTR, I32, PTR, PTR, PTR, PTR, PTR, PTR,
                PTR, I64, I32, F32, F32, F32).maxDynamicShared(sharedBytes(dim));
    }

    /** {@link Ops#selfAttention}. */
    void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x, Tensor qkv,
            Tensor attended, Tensor logSumExp, Tensor out, Tensor mean, Tensor rstd) {
        int dim = (int) weights.dim();
        kernels.get(dim).grid(Math.ceilDiv(shape.rows(), (long) ROWS)).block(THREADS).shared(sharedBytes(dim))
                .arg(weights.norm()).arg(weights.normBias()).arg(weights.toQkv()).arg(weights.toOut())
                .arg(shape.heads()).arg(qkv).arg(attended).arg(logSumExp).arg(x).arg(out).arg(mean).arg(rstd)
                .arg(shape.rows()).arg((int) shape.length()).arg((float) (1 / Math.sqrt(HEAD)))
                .arg(bias == AttentionBias.ALIBI ? -8f / shape.heads() : 0f).arg(Ops.LAYER_NORM_EPSILON).launch();
    }
}
