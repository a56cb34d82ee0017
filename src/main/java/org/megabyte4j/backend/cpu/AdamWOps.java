package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** The global norm, and AdamW in one pass over parameters, gradients and moments. */
final class AdamWOps {
    private static final long GRAIN = 1 << 14;
    /** Elements whose squares are summed together, whatever the number of threads. */
    private static final int NORM_BLOCK = 1 << 16;

    private final Workers workers;
    private final Kernels kernels;
    private double[] blockSums = new double[0];

    AdamWOps(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    void norm(Tensor x, Tensor norm) {
        MemorySegment in = segment(x);
        int blocks = Math.toIntExact(Math.ceilDiv(x.elements(), NORM_BLOCK));
        if (blockSums.length < blocks) {
            blockSums = new double[blocks];
        }
        double[] sums = blockSums;
        workers.forRange(blocks, 1, (from, to) -> {
            for (long block = from; block < to; block++) {
                long at = block * NORM_BLOCK;
                sums[(int) block] = kernels.sumOfSquares(in, at,
                        (int) Math.min(NORM_BLOCK, x.elements() - at));
            }
        });
        double sum = 0;
        for (int block = 0; block < blocks; block++) {
            sum += sums[block];
        }
        segment(norm).set(FLOAT, 0, (float) Math.sqrt(sum));
    }

    /** The factor that clipping puts on the gradients. */
    static float clipFactor(Ops.Clip clip) {
        if (clip.norm() == null) {
            return 1;
        }
        return Math.min(1, clip.maxNorm() / (segment(clip.norm()).get(FLOAT, 0) + 1e-6f));
    }

    void adamW(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Ops.Clip clip,
            Tensor parameters, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        MemorySegment values = segment(scalars);
        float learningRate = values.getAtIndex(FLOAT, 0);
        float rate = learningRate / values.getAtIndex(FLOAT, 1);
        float rootCorrection = (float) Math.sqrt(values.getAtIndex(FLOAT, 2));
        float factor = clipFactor(clip);
        MemorySegment p = segment(parameters);
        MemorySegment g = segment(gradients);
        MemorySegment m = segment(firstMoment);
        MemorySegment v = segment(secondMoment);
        List<ParameterLayout.Entry> entries = layout.entries();
        for (int first = 0; first < entries.size(); ) {
            int next = first + 1;
            while (next < entries.size() && decays[next] == decays[first]) {
                next++;
            }
            long start = entries.get(first).offset();
            long end = next < entries.size() ? entries.get(next).offset() : layout.elements();
            double keep = decays[first] ? 1 - learningRate * settings.weightDecay() : 1;
            var step = new Kernels.AdamWStep(factor, (float) keep, (float) settings.beta1(),
                    (float) (1 - settings.beta1()), (float) settings.beta2(), (float) (1 - settings.beta2()), rate,
                    rootCorrection, (float) settings.epsilon());
            workers.forRange(end - start, GRAIN, (from, to) ->
                    kernels.adamW(p, g, m, v, start + from, (int) (to - from), step));
            first = next;
        }
    }
}
