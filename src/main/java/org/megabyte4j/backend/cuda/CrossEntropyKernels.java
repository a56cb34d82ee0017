package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.Map;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/**
 * The loss and its gradient, {@code kernels/cross_entropy.cu}. A target outside the vocabulary makes the loss and its
 * row of the gradient NaN.
 */
final class CrossEntropyKernels {
    private static final int LOSS_THREADS = 1024;

    private final Map<RowTeam, Kernel> float32;
    private final Map<RowTeam, Kernel> bf16;
    private final Kernel addLosses;
    private final Kernel countTargets;

    CrossEntropyKernels(KernelLoader loader) {
        KernelModule module = loader.module("cross_entropy");
        float32 = kernels(module, "f32");
        bf16 = kernels(module, "bf16");
        addLosses = module.kernel("cross_entropy_add_losses", PTR, I64, PTR, PTR);
        countTargets = module.kernel("count_targets", PTR, I64, I32, PTR);
    }

    private static Map<RowTeam, Kernel> kernels(KernelModule module, String dtype) {
        return RowTeam.kernels(team -> module.kernel("softmax_cross_entropy_" + dtype + "_" + team,
                PTR, PTR, I32, PTR, PTR, PTR, I64, I32, F32));
    }

    /** {@link org.megabyte4j.backend.Ops#countTargets}. */
    void countTargets(Tensor ids, int ignoredId, Tensor count) {
        countTargets.grid(1).block(LOSS_THREADS).arg(ids).arg(ids.elements()).arg(ignoredId).arg(count).launch();
    }

    /**
     * {@link org.megabyte4j.backend.Ops#softmaxCrossEntropy}.
     *
     * @param workspace at least {@link #softmaxCrossEntropyWorkspaceBytes}
     */
    void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale, Tensor workspace) {
        int vocabulary = Math.toIntExact(logits.columns());
        long rows = targets.elements();
        if (rows == 0) {
            return;
        }
        RowTeam team = RowTeam.of(vocabulary, Launches.vectors(logits, vocabulary)
                && Launches.vectors(dLogits, vocabulary));
        (logits.dtype() == DType.BF16 ? bf16 : float32).get(team).grid(team.blocks(rows)).block(team.threadsPerBlock())
                .arg(logits).arg(targets).arg(ignoredId).arg(count).arg(dLogits).arg(workspace).arg(rows)
                .arg(vocabulary).arg(gradientScale).launch();
        addLosses.grid(1).block(LOSS_THREADS).arg(workspace).arg(team.blocks(rows)).arg(count).arg(loss).launch();
    }

    /** A sum of losses for each block, of which there are at most as many as rows. */
    long softmaxCrossEntropyWorkspaceBytes(long rows) {
        return rows * Double.BYTES;
    }
}
