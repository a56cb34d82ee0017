package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.Map;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** LayerNorm, {@code kernels/layer_norm.cu}. */
final class LayerNormKernels {
    private static final int COLUMN_THREADS = 256;
    private static final int SUM_COLUMNS = 32;
    private static final int SUM_THREADS = 1024;
    /** Parts of the rows where columns are summed apart from the rows' work. */
    private static final long COLUMN_BLOCKS = 1056;
    private static final long LEAST_ROWS = 32;

    /** Of one dtype. */
    private record Kernels(Map<RowTeam, Kernel> forward, Map<RowTeam, Kernel> backward, Kernel again,
            Kernel parameters) {
        static Kernels of(KernelModule module, String dtype) {
            return new Kernels(
                    RowTeam.kernels(team -> module.kernel("layer_norm_forward_" + dtype + "_" + team,
                            PTR, PTR, PTR, PTR, PTR, PTR, I64, I32, F32)),
                    RowTeam.kernels(team -> team.endsWith("any")
                            ? module.kernel("layer_norm_backward_" + dtype + "_" + team,
                                    PTR, PTR, PTR, PTR, PTR, PTR, PTR, I64, I32)
                            : module.kernel("layer_norm_backward_" + dtype + "_" + team,
                                    PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, I64, I32)),
                    module.kernel("layer_norm_again_" + dtype, PTR, PTR, PTR, PTR, PTR, PTR, I64, I32),
                    module.kernel("layer_norm_parameters_" + dtype, PTR, PTR, PTR, PTR, PTR, I64, I32, I64));
        }
    }

    private final Kernels float32;
    private final Kernels bf16;
    private final Kernel addGradients;

    LayerNormKernels(KernelLoader loader) {
        KernelModule module = loader.module("layer_norm");
        float32 = Kernels.of(module, "f32");
        bf16 = Kernels.of(module, "bf16");
        addGradients = module.kernel("layer_norm_add_gradients", PTR, I64, I32, PTR, PTR);
    }

    private Kernels kernels(Tensor x) {
        return x.dtype() == DType.BF16 ? bf16 : float32;
    }

    /** {@link Ops#layerNorm}. */
    void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        int dim = Math.toIntExact(weight.elements());
        long rows = mean.elements();
        if (rows == 0) {
            return;
        }
        RowTeam team = RowTeam.of(dim, Launches.vectors(x, dim) && Launches.vectors(weight, dim)
                && Launches.vectors(bias, dim) && Launches.vectors(out, dim));
        kernels(x).forward.get(team).grid(team.blocks(rows)).block(team.threadsPerBlock())
                .arg(x).arg(weight).arg(bias).arg(out).arg(mean).arg(rstd).arg(rows).arg(dim)
                .arg(Ops.LAYER_NORM_EPSILON).launch();
    }

    /** {@link Ops#layerNormAgain}: the same bits as {@link #layerNorm} gave. */
    void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        long elements = x.elements();
        if (elements == 0) {
            return;
        }
        Launches.elementwise(kernels(x).again, elements, Launches.vector(x.dtype()))
                .arg(x).arg(weight).arg(bias).arg(mean).arg(rstd).arg(out).arg(elements)
                .arg(Math.toIntExact(weight.elements())).launch();
    }

    /**
     * {@link Ops#layerNormBackward}.
     *
     * @param workspace at least {@link #layerNormBackwardWorkspaceBytes}
     */
    void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias, Tensor workspace) {
        int dim = Math.toIntExact(weight.elements());
        long rows = mean.elements();
        if (rows == 0) {
            return;
        }
        RowTeam team = RowTeam.of(dim, Launches.vectors(dOut, dim) && Launches.vectors(x, dim)
                && Launches.vectors(weight, dim) && Launches.vectors(dResidual, dim) && Launches.vectors(dX, dim));
        Kernel backward = kernels(x).backward.get(team);
        long sums;
        if (team.inRegisters()) {
            sums = team.walkingBlocks(rows);
            backward.grid(sums).block(team.threadsPerBlock())
                    .arg(dOut).arg(x).arg(weight).arg(mean).arg(rstd).arg(dResidual).arg(dX).arg(workspace).arg(rows)
                    .arg(dim).launch();
        } else {
            // The sums of columns first: dX may be where dResidual is, but never where dOut or x are.
            sums = parts(rows, dim);
            kernels(x).parameters.grid(Math.ceilDiv(dim, COLUMN_THREADS), sums).block(COLUMN_THREADS)
                    .arg(dOut).arg(x).arg(mean).arg(rstd).arg(workspace).arg(rows).arg(dim)
                    .arg(Math.ceilDiv(rows, sums)).launch();
            backward.grid(team.blocks(rows)).block(team.threadsPerBlock())
                    .arg(dOut).arg(x).arg(weight).arg(mean).arg(rstd).arg(dResidual).arg(dX).arg(rows).arg(dim)
                    .launch();
        }
        addGradients(workspace, sums, dim, dWeight, dBias);
    }

    /**
     * Adds sums over parts of the rows, in their order.
     *
     * @param sums F32 {@code [parts, 2, dim]}, for {@code dWeight} and {@code dBias}
     */
    void addGradients(Tensor sums, long parts, int dim, Tensor dWeight, Tensor dBias) {
        addGradients.grid(Math.ceilDiv(dim, SUM_COLUMNS), 2).block(SUM_THREADS)
                .arg(sums).arg(parts).arg(dim).arg(dWeight).arg(dBias).launch();
    }

    /** Whatever the alignment will be. */
    long layerNormBackwardWorkspaceBytes(long rows, long columns) {
        RowTeam team = RowTeam.of(columns, true);
        long sums = Math.max(parts(rows, columns), team.inRegisters() ? team.walkingBlocks(rows) : 0);
        return sums * 2 * columns * Float.BYTES;
    }

    private static long parts(long rows, long columns) {
        long wanted = Math.ceilDiv(COLUMN_BLOCKS, Math.ceilDiv(columns, COLUMN_THREADS));
        return Math.min(wanted, Math.max(1, Math.ceilDiv(rows, LEAST_ROWS)));
    }
}
