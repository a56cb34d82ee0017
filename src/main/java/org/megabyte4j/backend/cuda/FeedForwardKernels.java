package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.backend.FeedForwardFactors;
import org.megabyte4j.backend.FeedForwardParameters;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Feed-forward layers at once, {@code kernels/feed_forward.cu}. */
final class FeedForwardKernels {
    /** Hidden columns that a block computes together. */
    private static final int SLICE = 64;
    private static final int SUM_COLUMNS = 32;
    private static final int SUM_THREADS = 1024;

    /** Of one width. */
    private record Kernels(Kernel forward, Kernel backward) { }

    private final KernelModule module;
    private final Map<Integer, Kernels> kernels = new HashMap<>();
    private final Kernel addSums;

    FeedForwardKernels(KernelLoader loader) {
        module = loader.module("feed_forward");
        addSums = module.kernel("feed_forward_add_sums", PTR, I64, I32, I32, PTR, PTR, PTR, PTR);
    }

    /** Why there is no kernel for these sizes; empty if there is one. */
    static List<String> obstacles(DType dtype, long dim, long hidden) {
        List<String> obstacles = LayerTile.obstacles("feed-forward", dtype, dim);
        if (hidden < 1 || hidden % SLICE != 0) {
            obstacles.add("its hidden width is " + hidden + "; it can be a multiple of " + SLICE);
        }
        return obstacles;
    }

    /** Dynamic shared memory that a block takes at most. */
    static int sharedBytes(int dim) {
        return Math.max(forwardBytes(dim), backwardBytes(dim));
    }

    private static int forwardBytes(int dim) {
        return Short.BYTES * (LayerTile.ROWS * dim + 2 * LayerTile.ROWS * SLICE + 3 * SLICE * dim);
    }

    private static int backwardBytes(int dim) {
        return Short.BYTES * (2 * LayerTile.ROWS * dim + LayerTile.ROWS * SLICE + 5 * SLICE * dim / 2);
    }

    /**
     * Readies the kernels for a layer.
     *
     * @param rows those of the layer's width
     * @throws ShapeException if there are none for it
     */
    void prepare(FeedForwardParameters weights, Tensor... rows) {
        long dim = weights.dim();
        List<String> obstacles = obstacles(rows[0].dtype(), dim, weights.hidden());
        Launches.unaligned(obstacles, dim, rows);
        if (!obstacles.isEmpty()) {
            throw new ShapeException(String.join("; ", obstacles));
        }
        kernels.computeIfAbsent((int) dim, this::load);
    }

    private Kernels load(int dim) {
        return new Kernels(
                module.kernel("feed_forward_" + dim + "_bf16", PTR, PTR, PTR, PTR, PTR, PTR, I32, PTR, PTR, PTR, PTR,
                        I64, F32).maxDynamicShared(forwardBytes(dim)),
                module.kernel("feed_forward_backward_" + dim + "_bf16", PTR, PTR, PTR, PTR, PTR, PTR, I32, PTR, PTR,
                        PTR, PTR, PTR, PTR, PTR, PTR, PTR, I64).maxDynamicShared(backwardBytes(dim)));
    }

    /** {@link Ops#feedForward}. */
    void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        long rows = mean.elements();
        if (rows == 0) {
            return;
        }
        int dim = (int) weights.dim();
        begin(kernels.get(dim).forward, weights, rows, forwardBytes(dim))
                .arg(x).arg(out).arg(mean).arg(rstd).arg(rows).arg(Ops.LAYER_NORM_EPSILON).launch();
    }

    /**
     * {@link Ops#feedForwardBackward}.
     *
     * @param workspace at least {@link #feedForwardBackwardWorkspaceBytes}
     */
    void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients, Tensor workspace) {
        long rows = mean.elements();
        if (rows == 0) {
            return;
        }
        int dim = (int) weights.dim();
        int hidden = (int) weights.hidden();
        begin(kernels.get(dim).backward, weights, rows, backwardBytes(dim))
                .arg(x).arg(mean).arg(rstd).arg(d).arg(factors.normed()).arg(factors.activated())
                .arg(factors.dHidden()).arg(factors.dOut()).arg(workspace).arg(rows).launch();
        addSums.grid(Math.ceilDiv(3 * dim + hidden, SUM_COLUMNS)).block(SUM_THREADS)
                .arg(workspace).arg(LayerTile.blocks(rows)).arg(dim).arg(hidden)
                .arg(gradients.norm()).arg(gradients.normBias())
                .arg(gradients.contractBias()).arg(gradients.expandBias()).launch();
    }

    /** A block's sums for the vectors' gradients. */
    long feedForwardBackwardWorkspaceBytes(long rows, long dim, long hidden) {
        return LayerTile.blocks(rows) * (3 * dim + hidden) * Float.BYTES;
    }

    private static Kernel begin(Kernel kernel, FeedForwardParameters weights, long rows, int sharedBytes) {
        return kernel.grid(LayerTile.blocks(rows)).block(LayerTile.THREADS).shared(sharedBytes)
                .arg(weights.norm()).arg(weights.normBias()).arg(weights.expand()).arg(weights.expandBias())
                .arg(weights.contract()).arg(weights.contractBias()).arg((int) weights.hidden());
    }
}
