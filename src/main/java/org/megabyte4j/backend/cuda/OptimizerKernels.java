package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.F64;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Norms and optimisers over the whole arena, {@code kernels/optimizer.cu}. */
final class OptimizerKernels {
    private static final int THREADS = 256;
    private static final int NORM_CHUNK = 16384;

    private final ParameterTables tables;
    private final Kernel normPartial;
    private final Kernel normTotal;
    private final Kernel adamW;
    private final Kernel anyPrecision;
    private final Kernel squares;
    private final Kernel means;
    private final Kernel rows;
    private final Kernel updates;
    private final Kernel rates;
    private final Kernel apply;

    OptimizerKernels(KernelLoader loader) {
        tables = new ParameterTables(loader.context());
        KernelModule module = loader.module("optimizer");
        normPartial = module.kernel("norm_partial_f32", PTR, I64, PTR);
        normTotal = module.kernel("norm_total", PTR, I32, PTR);
        adamW = module.kernel("adamw_f32", PTR, PTR, PTR, PTR, PTR, PTR, PTR, F32, PTR, I32, I64, F32, F32, F32, F32,
                F32, F64);
        anyPrecision = module.kernel("any_precision_adamw", PTR, PTR, PTR, PTR, PTR, PTR, I32, PTR, PTR, F32, PTR, I32,
                I64, F32, F32, F32, F32, F32, F64);
        squares = module.kernel("adafactor_squares", PTR, PTR, PTR, PTR, PTR, F32, PTR, I32, I64, PTR, F32);
        means = module.kernel("adafactor_means", PTR, PTR, PTR, I32, I64, PTR);
        rows = module.kernel("adafactor_rows", PTR, PTR);
        updates = module.kernel("adafactor_updates", PTR, PTR, F32, PTR, I32, I64, PTR);
        rates = module.kernel("adafactor_rates", PTR, PTR, I64, PTR, F32, F32, I32, F32, I32);
        apply = module.kernel("adafactor_apply", PTR, PTR, PTR, PTR, F32, PTR, I32, I64, PTR);
    }

    /** @param workspace {@link #normWorkspaceBytes} */
    void norm(Tensor x, Tensor norm, Tensor workspace) {
        int blocks = normBlocks(x.elements());
        normPartial.grid(blocks).block(THREADS).arg(x).arg(x.elements()).arg(workspace).launch();
        normTotal.grid(1).block(THREADS).arg(workspace).arg(blocks).arg(norm).launch();
    }

    private static int normBlocks(long elements) {
        return Math.toIntExact(Math.max(1, Math.ceilDiv(elements, NORM_CHUNK)));
    }

    /** A partial sum in double precision for each block. */
    long normWorkspaceBytes(long elements) {
        return (long) Double.BYTES * normBlocks(elements);
    }

    /** Makes the tables of AdamW and AnyPrecisionAdamW; in the dry run, since it takes memory. */
    void prepareRuns(ParameterLayout layout, boolean[] decays) {
        tables.runs(layout, decays);
    }

    void adamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Ops.Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        ParameterTables.Runs runs = tables.runs(layout, decays);
        adamW.grid(runs.chunks()).block(THREADS)
                .arg(parameters).arg(computeCopy).arg(gradients).arg(firstMoment).arg(secondMoment)
                .arg(scalars).arg(clip.norm()).arg(clip.maxNorm())
                .arg(runs.table()).arg(runs.count()).arg(layout.elements());
        launch(adamW, settings);
    }

    void anyPrecisionAdamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        ParameterTables.Runs runs = tables.runs(layout, decays);
        anyPrecision.grid(runs.chunks()).block(THREADS)
                .arg(parameters).arg(computeCopy).arg(gradients).arg(firstMoment).arg(secondMoment).arg(compensation)
                .arg(halves(parameters, gradients, firstMoment, secondMoment, compensation))
                .arg(scalars).arg(clip.norm()).arg(clip.maxNorm())
                .arg(runs.table()).arg(runs.count()).arg(layout.elements());
        launch(anyPrecision, settings);
    }

    /** The kernel's {@code Halves}: bit i says that tensor i is BF16. */
    private static int halves(Tensor... tensors) {
        int bits = 0;
        for (int i = 0; i < tensors.length; i++) {
            bits |= tensors[i] != null && tensors[i].dtype() == DType.BF16 ? 1 << i : 0;
        }
        return bits;
    }

    /** Both variants end with the same constants. */
    private static void launch(Kernel kernel, Ops.AdamWSettings settings) {
        kernel.arg((float) settings.beta1()).arg((float) (1 - settings.beta1()))
                .arg((float) settings.beta2()).arg((float) (1 - settings.beta2()))
                .arg((float) settings.epsilon()).arg(settings.weightDecay()).launch();
    }

    /** Makes Adafactor's tables, in the dry run. */
    void prepareEntries(ParameterLayout layout, boolean[] decays) {
        tables.entries(layout, decays);
    }

    /** @param workspace {@link #adafactorWorkspaceBytes} */
    void adafactor(Ops.AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state, Tensor workspace) {
        ParameterTables.Entries entries = tables.entries(layout, decays);
        Tensor table = entries.table();
        int count = entries.count();
        long tiles = entries.tiles();
        squares.grid(tiles).block(THREADS).arg(parameters).arg(gradients).arg(state).arg(scalars)
                .arg(clip.norm()).arg(clip.maxNorm()).arg(table).arg(count).arg(tiles).arg(workspace)
                .arg(settings.epsilon1()).launch();
        means.grid(Math.ceilDiv(state.elements(), THREADS)).block(THREADS).arg(state).arg(scalars)
                .arg(table).arg(count).arg(state.elements()).arg(workspace).launch();
        rows.grid(count).block(THREADS).arg(table).arg(workspace).launch();
        updates.grid(tiles).block(THREADS).arg(gradients).arg(clip.norm()).arg(clip.maxNorm())
                .arg(table).arg(count).arg(tiles).arg(workspace).launch();
        rates.grid(count).block(THREADS).arg(scalars).arg(table).arg(tiles).arg(workspace)
                .arg(settings.epsilon2()).arg(settings.clipThreshold()).arg(settings.scaleParameter() ? 1 : 0)
                .arg(settings.weightDecay()).arg(settings.dynamicWeightDecay() ? 1 : 0).launch();
        apply.grid(tiles).block(THREADS).arg(parameters).arg(computeCopy).arg(gradients)
                .arg(clip.norm()).arg(clip.maxNorm()).arg(table).arg(count).arg(tiles).arg(workspace).launch();
    }

    /** Sums of tiles, rows and columns in double precision. */
    long adafactorWorkspaceBytes(ParameterLayout layout) {
        return Double.BYTES * ParameterTables.workspaceElements(layout);
    }
}
