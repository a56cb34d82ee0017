package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Norms and optimisers over the whole arena, {@code kernels/optimizer.cu}. */
final class OptimizerKernels {
    OptimizerKernels(KernelLoader loader) {
    }

    void norm(Tensor x, Tensor norm, Tensor workspace) {
        throw new UnsupportedOperationException("norm is not there yet on CUDA");
    }

    void adamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Ops.Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        throw new UnsupportedOperationException("adamW is not there yet on CUDA");
    }

    void adafactor(Ops.AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state, Tensor workspace) {
        throw new UnsupportedOperationException("adafactor is not there yet on CUDA");
    }

    void anyPrecisionAdamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Ops.Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment,
            Tensor compensation) {
        throw new UnsupportedOperationException("anyPrecisionAdamW is not there yet on CUDA");
    }

    long normWorkspaceBytes(long elements) {
        return 0;
    }

    void prepare(ParameterLayout layout, boolean[] decays) {
    }

    long adafactorWorkspaceBytes(ParameterLayout layout) {
        return 0;
    }

    long anyPrecisionAdamWWorkspaceBytes(ParameterLayout layout) {
        return 0;
    }
}
