package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionFactors;
import org.megabyte4j.backend.AttentionParameters;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Attention layers at once, {@code kernels/self_attention.cu}. */
final class SelfAttentionKernels {
    private static final int HEAD = 64;
    /** Rows of a warp, which has whole patches. */
    private static final int WARP_ROWS = 16;

    /** Of one width. */
    private record Kernels(Kernel forward, Kernel backward) { }

    private final KernelModule module;
    private final LayerNormKernels layerNorm;
    private final Map<Integer, Kernels> kernels = new HashMap<>();

    SelfAttentionKernels(KernelLoader loader, LayerNormKernels layerNorm) {
        module = loader.module("self_attention");
        this.layerNorm = layerNorm;
    }

    /** Why there is no kernel for these sizes; empty if there is one. */
    static List<String> obstacles(DType dtype, long dim, AttentionShape shape) {
        List<String> obstacles = LayerTile.obstacles("attention", dtype, dim);
        if (shape.length() > WARP_ROWS || WARP_ROWS % shape.length() != 0) {
            obstacles.add("its sequences have " + shape.length() + " positions; they can have 1, 2, 4, 8 or 16");
        }
        if (shape.headSize() != HEAD || shape.keyValueHeads() != 1 || shape.width() > dim) {
            obstacles.add("it has " + shape.heads() + " heads of size " + shape.headSize() + " with "
                    + shape.keyValueHeads() + " for keys and values; it can have " + dim / HEAD + " of size " + HEAD
                    + " with 1");
        }
        return obstacles;
    }

    /** Dynamic shared memory that a block takes at most. */
    static int sharedBytes(int dim, int heads) {
        return Math.max(forwardBytes(dim), backwardBytes(dim, heads));
    }

    private static int forwardBytes(int dim) {
        return Short.BYTES * (LayerTile.ROWS + 3 * HEAD) * dim;
    }

    private static int backwardBytes(int dim, int heads) {
        return Short.BYTES * (2 * LayerTile.ROWS * dim + LayerTile.ROWS * HEAD * (heads + 2));
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

    private Kernels load(int dim) {
        return new Kernels(
                module.kernel("self_attention_" + dim + "_bf16", PTR, PTR, PTR, PTR, I32, I64, I32, F32, F32, PTR, PTR,
                        PTR, PTR, PTR, PTR, F32).maxDynamicShared(forwardBytes(dim)),
                module.kernel("self_attention_backward_" + dim + "_bf16", PTR, PTR, PTR, PTR, I32, I64, I32, F32, F32,
                        PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR).maxDynamicShared(backwardBytes(dim, dim / HEAD)));
    }

    /** {@link Ops#selfAttention}. */
    void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x, Tensor qkv,
            Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        int dim = (int) weights.dim();
        begin(kernels.get(dim).forward, forwardBytes(dim), shape, weights, bias)
                .arg(qkv).arg(attended).arg(x).arg(out).arg(mean).arg(rstd).arg(Ops.LAYER_NORM_EPSILON).launch();
    }

    /**
     * {@link Ops#selfAttentionBackward}.
     *
     * @param workspace at least {@link #selfAttentionBackwardWorkspaceBytes}
     */
    void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients,
            Tensor workspace) {
        int dim = (int) weights.dim();
        begin(kernels.get(dim).backward, backwardBytes(dim, shape.heads()), shape, weights, bias)
                .arg(qkv).arg(x).arg(mean).arg(rstd).arg(d).arg(factors.dQkv()).arg(factors.normed())
                .arg(factors.dOut()).arg(workspace).launch();
        layerNorm.addGradients(workspace, LayerTile.blocks(shape.rows()), dim, gradients.norm(), gradients.normBias());
    }

    /** A block's sums for LayerNorm's gradients. */
    long selfAttentionBackwardWorkspaceBytes(AttentionShape shape, long dim) {
        return LayerTile.blocks(shape.rows()) * 2 * dim * Float.BYTES;
    }

    private static Kernel begin(Kernel kernel, int sharedBytes, AttentionShape shape, AttentionParameters weights,
            AttentionBias bias) {
        return kernel.grid(LayerTile.blocks(shape.rows())).block(LayerTile.THREADS).shared(sharedBytes)
                .arg(weights.norm()).arg(weights.normBias()).arg(weights.toQkv()).arg(weights.toOut())
                .arg(shape.heads()).arg(shape.rows()).arg((int) shape.length()).arg((float) (1 / Math.sqrt(HEAD)))
                .arg(bias == AttentionBias.ALIBI ? -8f / shape.heads() : 0f);
    }
}
