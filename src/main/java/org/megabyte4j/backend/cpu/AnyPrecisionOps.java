package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** AnyPrecisionAdamW: every assignment is rounded to the dtype of what is assigned, as PyTorch's does. */
final class AnyPrecisionOps {
    private static final long GRAIN = 1 << 12;

    private final Workers workers;

    AnyPrecisionOps(Workers workers) {
        this.workers = workers;
    }

    /** A buffer of F32 or BF16 elements. */
    private record Buffer(MemorySegment elements, boolean half) {
        static Buffer of(Tensor tensor) {
            return new Buffer(CpuTensors.segment(tensor), BFloat16.isHalf(tensor.dtype()));
        }

        float get(long index) {
            return half ? BFloat16.get(elements, index) : elements.getAtIndex(FLOAT, index);
        }

        float round(float value) {
            return half ? BFloat16.round(value) : value;
        }

        void set(long index, float value) {
            if (half) {
                BFloat16.set(elements, index, value);
            } else {
                elements.setAtIndex(FLOAT, index, value);
            }
        }
    }

    void step(Ops.AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Ops.Clip clip,
            Tensor parameters, Tensor gradients, Tensor firstMoment, Tensor secondMoment, Tensor compensation) {
        MemorySegment values = segment(scalars);
        float learningRate = values.getAtIndex(FLOAT, 0);
        float rate = learningRate / values.getAtIndex(FLOAT, 1);
        float rootCorrection = (float) Math.sqrt(values.getAtIndex(FLOAT, 2));
        float factor = AdamWOps.clipFactor(clip);
        float beta1 = (float) settings.beta1();
        float beta2 = (float) settings.beta2();
        float firstShare = (float) (1 - settings.beta1());
        float secondShare = (float) (1 - settings.beta2());
        float epsilon = (float) settings.epsilon();
        Buffer p = Buffer.of(parameters);
        Buffer g = Buffer.of(gradients);
        Buffer m = Buffer.of(firstMoment);
        Buffer v = Buffer.of(secondMoment);
        Buffer c = compensation == null ? null : Buffer.of(compensation);
        List<ParameterLayout.Entry> entries = layout.entries();
        for (int e = 0; e < entries.size(); e++) {
            long start = entries.get(e).offset();
            float keep = decays[e] ? (float) (1 - learningRate * settings.weightDecay()) : 1;
            workers.forRange(entries.get(e).elements(), GRAIN, (from, to) -> {
                for (long i = start + from; i < start + to; i++) {
                    float gradient = factor == 1 ? g.get(i) : g.round(g.get(i) * factor);
                    float first = m.round(m.round(m.get(i) * beta1) + firstShare * gradient);
                    float second = v.round(v.round(v.get(i) * beta2) + secondShare * gradient * gradient);
                    m.set(i, first);
                    v.set(i, second);
                    float root = v.round(v.round((float) Math.sqrt(second)) / rootCorrection);
                    float step = -rate * first / v.round(root + epsilon);
                    float decayed = keep == 1 ? p.get(i) : p.round(p.get(i) * keep);
                    if (c == null) {
                        p.set(i, decayed + step);
                    } else {
                        float wanted = c.round(c.get(i) + step);
                        float reached = p.round(decayed + wanted);
                        p.set(i, reached);
                        c.set(i, wanted + p.round(decayed - reached));
                    }
                }
            });
        }
    }
}
