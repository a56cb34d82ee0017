package org.megabyte4j.generate;

import java.util.List;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.checkpoint.TensorSource;
import org.megabyte4j.tensor.MemoryPlan;

/** Chooses the next ids of a few sequences side by side. */
interface Predictor extends AutoCloseable {
    /** The memory that it takes at the first {@link #start}. */
    MemoryPlan plan();

    /**
     * Begins with other sequences, no more than the batch. Whoever appends the chosen ids to them sees to it that they
     * fit.
     *
     * @param scored whether {@link #logits} will be asked for, so that they must be kept until then
     */
    void start(List<Sequence> sequences, SamplingOptions sampling, boolean scored);

    /** Begins with other sequences, and keeps logits. */
    default void start(List<Sequence> sequences, SamplingOptions sampling) {
        start(sequences, sampling, true);
    }

    /** Goes on: by some of what the sequences hold already, then by one position of each. */
    void step();

    /** Index in its sequence of the id that a row has come to; where a sequence is long enough the id is known. */
    int position(int row);

    /**
     * The id chosen at the row's position.
     *
     * @throws GenerationException if the model gives no usable logits there
     */
    int id(int row);

    /** The logits {@code [V]} at the row's position, if {@link #start} was told of it. */
    float[] logits(int row);

    /** What it takes to go on without reading the sequences anew; empty if there is nothing yet. */
    default List<TensorSource> caches() {
        return List.of();
    }

    /**
     * Takes what {@link #caches} gave for the same sequences, after {@link #start} and before the first step.
     *
     * @throws org.megabyte4j.checkpoint.CheckpointException if the file does not hold it
     */
    default void restore(TensorFile saved) {
    }

    @Override
    void close();
}
