package org.megabyte4j.tensor;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Where each parameter lies in the flat parameter arena. Gradients, optimiser moments and low-precision copies mirror
 * the layout, so one index addresses a parameter in all of them.
 *
 * <p>Offsets are in elements, the same for every dtype. A tensor starts at a multiple of {@link #ALIGNMENT} elements,
 * except the later members of a group: these follow each other without a gap, so that the group can be used as one
 * matrix (the q and kv projections are one product). Gaps hold zeros, in gradients too.
 */
public final class ParameterLayout {
    /** Elements; 256 bytes in float32. */
    public static final long ALIGNMENT = 64;

    /**
     * One parameter.
     *
     * @param name    the reference's name
     * @param shape   sizes, as in the reference
     * @param offset  elements from the start of the arena
     * @param decayed whether weight decay belongs to it: weights of Linear layers, not biases, LayerNorm or embeddings
     */
    public record Entry(String name, long[] shape, long offset, boolean decayed) {
        public long elements() {
            return Tensor.elements(shape);
        }

        @Override
        public String toString() {
            return name + " " + Arrays.toString(shape);
        }
    }

    private final Map<String, Entry> entries;
    private final long elements;

    private ParameterLayout(Map<String, Entry> entries, long elements) {
        this.entries = entries;
        this.elements = elements;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** All parameters in arena order. */
    public List<Entry> entries() {
        return List.copyOf(entries.values());
    }

    /** @throws IllegalArgumentException if there is no such parameter */
    public Entry entry(String name) {
        Entry entry = entries.get(name);
        if (entry == null) {
            throw new IllegalArgumentException("no parameter is named " + name);
        }
        return entry;
    }

    /** The parameter that an element of the arena belongs to, or lies behind. */
    public Entry entryAt(long index) {
        Entry found = null;
        for (Entry entry : entries.values()) {
            if (entry.offset() > index) {
                break;
            }
            found = entry;
        }
        return found;
    }

    public boolean contains(String name) {
        return entries.containsKey(name);
    }

    /** Elements of the arena, gaps included. */
    public long elements() {
        return elements;
    }

    /** Number of parameters in the usual sense: elements of all tensors, gaps left out. */
    public long parameterCount() {
        return entries.values().stream().mapToLong(Entry::elements).sum();
    }

    /** The view of one parameter in an arena of this layout. */
    public Tensor view(Tensor arena, String name) {
        Entry entry = entry(name);
        return arena.part(entry.offset(), entry.shape());
    }

    /**
     * Neighbouring matrices of equal row length as one matrix.
     *
     * @throws ShapeException if they do not follow each other without a gap
     */
    public Tensor groupView(Tensor arena, String... names) {
        Entry first = entry(names[0]);
        long next = first.offset();
        long rows = 0;
        long columns = first.shape()[first.shape().length - 1];
        for (String name : names) {
            Entry entry = entry(name);
            if (entry.offset() != next || entry.shape().length != 2 || entry.shape()[1] != columns) {
                throw new ShapeException(entry + " does not continue the matrix that starts at " + first);
            }
            next += entry.elements();
            rows += entry.shape()[0];
        }
        return arena.part(first.offset(), rows, columns);
    }

    /** Adds parameters in arena order. */
    public static final class Builder {
        private final Map<String, Entry> entries = new LinkedHashMap<>();
        private long end;

        private Builder() {
        }

        /** A parameter that starts at an aligned offset. */
        public Builder add(String name, boolean decayed, long... shape) {
            end = aligned(end);
            return append(name, decayed, shape);
        }

        /** A parameter that follows the one before it without a gap. */
        public Builder append(String name, boolean decayed, long... shape) {
            Entry entry = new Entry(name, shape.clone(), end, decayed);
            if (entries.put(name, entry) != null) {
                throw new IllegalArgumentException("two parameters are named " + name);
            }
            end = Math.addExact(end, entry.elements());
            return this;
        }

        public ParameterLayout build() {
            return new ParameterLayout(new LinkedHashMap<>(entries), aligned(end));
        }

        private static long aligned(long elements) {
            return Math.addExact(elements, ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
    }

    /** Names in arena order, for messages. */
    public List<String> names() {
        return new ArrayList<>(entries.keySet());
    }
}
