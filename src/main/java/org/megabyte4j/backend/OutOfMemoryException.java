package org.megabyte4j.backend;

import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.tensor.MemoryPlan;

/** A plan that does not fit the device. The message says what is needed, what is free, and what would help. */
public final class OutOfMemoryException extends MegabyteException {
    private static final String SMALLER = "use a smaller --batch or --seq-len, or a smaller model";

    private final String fact;
    private final long free;

    private OutOfMemoryException(String fact, String advice, long free) {
        super("not enough memory" + fact + "; " + advice);
        this.fact = fact;
        this.free = free;
    }

    /**
     * A plan that was refused before anything was allocated.
     *
     * @param where such as {@code " on the GPU"}; empty for the machine's own memory
     * @param sizes bytes by category
     * @param free  bytes that the device has
     */
    public static OutOfMemoryException ofPlan(String where, Map<MemoryPlan.Category, Long> sizes, long free) {
        long needed = sizes.values().stream().reduce(0L, Math::addExact);
        String parts = sizes.entrySet().stream()
                .map(e -> e.getKey().name().toLowerCase(Locale.ROOT) + " " + gibibytes(e.getValue()))
                .collect(Collectors.joining(", "));
        return new OutOfMemoryException(where + ": " + gibibytes(needed) + " needed (" + parts + "), " + gibibytes(free)
                + " free", SMALLER, free);
    }

    /**
     * A block that the device refused although it seemed to fit.
     *
     * @param who gives memory there, such as {@code the system}
     */
    public static OutOfMemoryException ofBlock(String where, String who, long bytes) {
        return new OutOfMemoryException(where + ": " + who + " does not give " + gibibytes(bytes) + " in one block",
                SMALLER, -1);
    }

    /** The same with better advice than the general one. */
    public OutOfMemoryException withAdvice(String advice) {
        OutOfMemoryException better = new OutOfMemoryException(fact, advice, free);
        better.initCause(this);
        return better;
    }

    /** How many bytes the device had for the plan; -1 if that is not the reason. */
    public long free() {
        return free;
    }

    private static String gibibytes(long bytes) {
        return String.format(Locale.ROOT, "%.2f GiB", bytes / (double) (1L << 30));
    }
}
