package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.backend.Sampler;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.tensor.Tensor;

/** The choice of ids, one sequence after the other, and what follows from it. Its arrays are kept: a byte of a small model takes microseconds. */
final class SamplingOps {
    private final int[] settings = new int[SamplingSettings.COUNT];
    private Sampler sampler;
    private float[] row = {};       // [V]
    private int[] allowed = {};     // [V]
    private int[] seen = {};        // [ceil(V / 32)]

    void sample(Tensor logits, Tensor settingsTensor, Tensor allowedTensor, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seenTensor, Tensor chosen, Tensor faults) {
        int vocabulary = Math.toIntExact(logits.columns());
        if (row.length != vocabulary) {
            sampler = new Sampler(vocabulary);
            row = new float[vocabulary];
            allowed = new int[vocabulary];
            seen = new int[Math.ceilDiv(vocabulary, 32)];
        }
        copy(segment(settingsTensor), 0, settings);
        copy(segment(allowedTensor), 0, allowed);
        SamplingSettings how = SamplingSettings.of(settings);
        MemorySegment rows = segment(logits);
        MemorySegment numbers = segment(sequences);
        MemorySegment places = segment(positions);
        MemorySegment known = segment(forced);
        MemorySegment bits = segment(seenTensor);
        MemorySegment ids = segment(chosen);
        MemorySegment codes = segment(faults);
        for (int b = 0; b < logits.rows(); b++) {
            int id = known.getAtIndex(JAVA_INT_UNALIGNED, b);
            int fault = 0;
            if (id < 0) {
                MemorySegment.copy(rows, FLOAT, 4L * b * vocabulary, row, 0, vocabulary);
                copy(bits, (long) b * seen.length, seen);
                id = sampler.choose(how, row, allowed, seen, numbers.getAtIndex(JAVA_INT_UNALIGNED, b),
                        places.getAtIndex(JAVA_INT_UNALIGNED, b));
                fault = sampler.fault();
                if (fault == 0) {
                    bits.setAtIndex(JAVA_INT_UNALIGNED, (long) b * seen.length + (id >> 5), seen[id >> 5] | 1 << id);
                }
            }
            ids.setAtIndex(JAVA_INT_UNALIGNED, b, id);
            codes.setAtIndex(JAVA_INT_UNALIGNED, b, fault);
        }
    }

    static void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        int batch = (int) input.past().elements();
        int patch = (int) input.forced().rows();
        MemorySegment ids = segment(results);
        MemorySegment past = segment(input.past());
        for (int b = 0; b < batch; b++) {
            if (past.getAtIndex(JAVA_INT_UNALIGNED, b) >= last) {
                continue;
            }
            add(past, b, 1);
            for (int i = 0; i < patch; i++) {
                int id = ids.getAtIndex(JAVA_INT_UNALIGNED, 2L * i * batch + b);
                segment(input.earlier()).setAtIndex(JAVA_INT_UNALIGNED, (long) b * patch + i, id);
                add(segment(input.bytePositions()), (long) b * patch + i, patch);
                segment(input.forced()).setAtIndex(JAVA_INT_UNALIGNED, (long) i * batch + b, -1);
                add(segment(input.positions()), (long) i * batch + b, patch);
                if (seesPrevious) {
                    segment(input.previous()).setAtIndex(JAVA_INT_UNALIGNED, b, id);
                }
            }
        }
    }

    private static void add(MemorySegment ints, long index, int value) {
        ints.setAtIndex(JAVA_INT_UNALIGNED, index, ints.getAtIndex(JAVA_INT_UNALIGNED, index) + value);
    }

    private static void copy(MemorySegment from, long first, int[] to) {
        MemorySegment.copy(from, JAVA_INT_UNALIGNED, 4 * first, to, 0, to.length);
    }
}
