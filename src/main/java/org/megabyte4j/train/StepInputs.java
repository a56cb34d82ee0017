package org.megabyte4j.train;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.model.Ids;

/** What the host sends to the device for each step, in arrays that are made once: a step makes no garbage. */
final class StepInputs {
    private final int vocabularySize;
    private final int padId;
    private final int[] ids;
    private final int[] targets = new int[1];
    private final float[] scalars = new float[StepScalars.COUNT];
    private final MemorySegment[] batches;
    private final MemorySegment targetsSegment = MemorySegment.ofArray(targets);
    private final MemorySegment scalarsSegment = MemorySegment.ofArray(scalars);

    /**
     * @param batches  accumulated in a step
     * @param perBatch ids of each
     */
    StepInputs(int batches, int perBatch, int vocabularySize, int padId) {
        this.vocabularySize = vocabularySize;
        this.padId = padId;
        ids = new int[Math.multiplyExact(batches, perBatch)];
        this.batches = new MemorySegment[batches];
        for (int batch = 0; batch < batches; batch++) {
            this.batches[batch] = MemorySegment.ofArray(ids)
                    .asSlice((long) batch * perBatch * Integer.BYTES, (long) perBatch * Integer.BYTES);
        }
    }

    /**
     * Takes the ids of a step, and counts those that are no padding.
     *
     * @throws org.megabyte4j.model.ConfigException if an id lies outside the vocabulary
     * @throws IllegalArgumentException if there are too few or too many ids
     */
    void take(int... stepIds) {
        if (stepIds.length != ids.length) {
            throw new IllegalArgumentException("a step takes " + ids.length + " ids, not " + stepIds.length);
        }
        int outside = 0;    // negative if any id is negative or too large; without a branch, so that it is quick
        int count = 0;
        for (int i = 0; i < ids.length; i++) {
            int id = stepIds[i];
            outside |= id | vocabularySize - 1 - id;
            count += id == padId ? 0 : 1;
            ids[i] = id;
        }
        if (outside < 0) {
            Ids.check(stepIds, vocabularySize);
        }
        targets[0] = count;
    }

    /** I32, of one of the accumulated batches. */
    MemorySegment batch(int batch) {
        return batches[batch];
    }

    /** I32 {@code [1]}. */
    MemorySegment targets() {
        return targetsSegment;
    }

    /** F32 {@code [StepScalars.COUNT]}, of the array {@link #scalarValues}. */
    MemorySegment scalars() {
        return scalarsSegment;
    }

    float[] scalarValues() {
        return scalars;
    }
}
