package org.megabyte4j.model;

import java.util.function.LongConsumer;

/**
 * Hears how a program gets on, layer after layer. It is told when the work has been enqueued, so that it costs nothing
 * where recorded work is replayed, and means something where work is done when its call returns.
 */
final class Progress {
    private LongConsumer listener = flops -> { };

    void tell(LongConsumer other) {
        listener = other;
    }

    /** @param flops of what has been enqueued since the last call */
    void enqueued(long flops) {
        listener.accept(flops);
    }
}
