package org.megabyte4j.generate;

import java.util.List;
import org.megabyte4j.tensor.MemoryPlan;

/** Gives the logits of the next ids of a few sequences side by side. */
interface Predictor extends AutoCloseable {
    /** The memory that it takes at the first {@link #start}. */
    MemoryPlan plan();

    /** Begins with other sequences, no more than the batch. Whoever appends to them sees to it that they fit. */
    void start(List<Sequence> sequences);

    /** Computes the logits of one position of each sequence. */
    void step();

    /** Index in the sequence of the id that the logits of a row are about; beyond its end they mean nothing. */
    int position(int row);

    /** The logits of the last step, {@code [batch * V]}. */
    float[] logits();

    @Override
    void close();
}
