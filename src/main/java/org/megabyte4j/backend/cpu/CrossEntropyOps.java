package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.CpuTensors.segmentOrNull;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.tensor.Tensor;

/** Softmax cross entropy, row by row; the loss is summed in double precision. */
final class CrossEntropyOps {
    private final Workers workers;
    private final Kernels kernels;
    private final double[] threadSums;

    CrossEntropyOps(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
        this.threadSums = new double[workers.threads()];
    }

    void countTargets(Tensor ids, int ignoredId, Tensor count) {
        MemorySegment from = segment(ids);
        int counted = 0;
        for (long i = 0; i < ids.elements(); i++) {
            if (from.getAtIndex(JAVA_INT_UNALIGNED, i) != ignoredId) {
                counted++;
            }
        }
        segment(count).setAtIndex(JAVA_INT_UNALIGNED, 0, counted);
    }

    void lossAndGradient(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss, Tensor dLogits,
            float gradientScale) {
        MemorySegment in = segment(logits);
        MemorySegment target = segment(targets);
        MemorySegment gradient = segmentOrNull(dLogits);
        int counted = segment(count).getAtIndex(JAVA_INT_UNALIGNED, 0);
        float scale = counted == 0 ? 0 : gradientScale / counted;
        int vocabulary = Math.toIntExact(logits.columns());
        long rows = targets.elements();
        workers.run((thread, threads) -> {
            double sum = 0;
            long end = rows * (thread + 1) / threads;
            for (long row = rows * thread / threads; row < end; row++) {
                long at = row * vocabulary;
                if (target.getAtIndex(JAVA_INT_UNALIGNED, row) == ignoredId) {
                    if (gradient != null) {
                        kernels.fill(gradient, at, vocabulary, 0);
                    }
                    continue;
                }
                int id = CpuTensors.id(target, row, vocabulary);
                float largest = kernels.max(in, at, vocabulary);
                float logit = in.getAtIndex(FLOAT, at + id);
                float total;
                if (gradient == null) {
                    total = kernels.sumExp(in, at, largest, vocabulary);
                } else {
                    kernels.exp(in, at, largest, 1, gradient, at, vocabulary);
                    total = kernels.sum(gradient, at, vocabulary);
                }
                sum += largest - logit + Math.log(total);
                if (gradient != null) {
                    kernels.scale(gradient, at, vocabulary, scale / total);
                    gradient.setAtIndex(FLOAT, at + id, gradient.getAtIndex(FLOAT, at + id) - scale);
                }
            }
            threadSums[thread] = sum;
        });
        if (counted > 0) {
            double sum = 0;
            for (double threadSum : threadSums) {
                sum += threadSum;
            }
            MemorySegment to = segment(loss);
            to.set(FLOAT, 0, (float) (to.get(FLOAT, 0) + sum / counted));
        }
    }
}
