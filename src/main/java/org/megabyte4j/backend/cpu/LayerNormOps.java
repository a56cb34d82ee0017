package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.CpuTensors.segmentOrNull;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/** LayerNorm, row by row. */
final class LayerNormOps {
    private static final long GRAIN = 1 << 12;

    private final Workers workers;
    private final Kernels kernels;

    LayerNormOps(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    /** Float32 elements of workspace for backward: the gradients of weight and bias, for each thread. */
    static long workspace(long dim, int threads) {
        return threads * 2 * dim;
    }

    void forward(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        MemorySegment in = segment(x);
        MemorySegment means = segment(mean);
        MemorySegment deviations = segment(rstd);
        MemorySegment w = segment(weight);
        MemorySegment b = segment(bias);
        MemorySegment to = segment(out);
        int dim = Math.toIntExact(weight.elements());
        workers.forRange(x.elements() / dim, GRAIN / dim, (from, end) -> {
            for (long row = from; row < end; row++) {
                float average = kernels.sum(in, row * dim, dim) / dim;
                float variance = kernels.squaredDeviation(in, row * dim, dim, average) / dim;
                float inverse = (float) (1 / Math.sqrt(variance + Ops.LAYER_NORM_EPSILON));
                means.setAtIndex(FLOAT, row, average);
                deviations.setAtIndex(FLOAT, row, inverse);
                kernels.normalize(in, row * dim, average, inverse, w, b, to, row * dim, dim);
            }
        });
    }

    void again(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        MemorySegment in = segment(x);
        MemorySegment means = segment(mean);
        MemorySegment deviations = segment(rstd);
        MemorySegment w = segment(weight);
        MemorySegment b = segment(bias);
        MemorySegment to = segment(out);
        int dim = Math.toIntExact(weight.elements());
        workers.forRange(x.elements() / dim, GRAIN / dim, (from, end) -> {
            for (long row = from; row < end; row++) {
                kernels.normalize(in, row * dim, means.getAtIndex(FLOAT, row), deviations.getAtIndex(FLOAT, row), w, b,
                        to, row * dim, dim);
            }
        });
    }

    /** Each thread sums over its own rows; the threads' sums are added up in their order. */
    void backward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual, Tensor dX,
            Tensor dWeight, Tensor dBias, MemorySegment workspace) {
        MemorySegment gradient = segment(dOut);
        MemorySegment in = segment(x);
        MemorySegment w = segment(weight);
        MemorySegment means = segment(mean);
        MemorySegment deviations = segment(rstd);
        MemorySegment residual = segmentOrNull(dResidual);
        MemorySegment to = segment(dX);
        int dim = Math.toIntExact(weight.elements());
        long rows = x.elements() / dim;
        workers.run((thread, threads) -> {
            MemorySegment sums = workspace.asSlice(thread * 2L * dim << 2, 2L * dim << 2);
            MemorySegment biasSums = sums.asSlice((long) dim << 2);
            kernels.fill(sums, 0, 2 * dim, 0);
            long end = rows * (thread + 1) / threads;
            for (long row = rows * thread / threads; row < end; row++) {
                long at = row * dim;
                float average = means.getAtIndex(FLOAT, row);
                float inverse = deviations.getAtIndex(FLOAT, row);
                kernels.addNormalized(gradient, in, at, average, inverse, sums, dim);
                kernels.add(gradient, at, biasSums, 0, dim);
                float meanGradient = kernels.dot(gradient, at, w, 0, dim) / dim;
                float meanProduct = kernels.weightedDeviation(gradient, at, w, 0, in, at, dim, average) * inverse / dim;
                if (residual == null) {
                    kernels.normalizeBackward(gradient, in, at, average, inverse, w, meanGradient, meanProduct, to, dim);
                } else {
                    kernels.normalizeBackwardResidual(gradient, in, at, average, inverse, w, meanGradient, meanProduct,
                            residual, to, dim);
                }
            }
        });
        MemorySegment weights = segment(dWeight);
        MemorySegment biases = segment(dBias);
        for (long thread = 0; thread < workers.threads(); thread++) {
            kernels.add(workspace, thread * 2 * dim, weights, 0, dim);
            kernels.add(workspace, thread * 2 * dim + dim, biases, 0, dim);
        }
    }
}
