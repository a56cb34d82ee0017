package org.megabyte4j.checkpoint;

import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;

/** The tensors of a pickled state dict, whose views of their storages are checked here. */
final class StateDict {
    private static final int MAX_DEPTH = 32;

    private record Pending(String name, int depth, Object value) {
    }

    private final String source;
    private final Unpickler unpickler;

    /** @param source the file, for messages */
    StateDict(String source, Unpickler unpickler) {
        this.source = source;
        this.unpickler = unpickler;
    }

    /**
     * Tensors of nested dictionaries, under names joined by dots.
     *
     * @param limit entries and characters of names in all; one dictionary inside of several others can stand for
     *              more than any memory holds
     */
    Map<String, StoredTensor> read(long limit) {
        if (!(unpickler.read() instanceof Unpickler.Dict root)) {
            throw new CheckpointException(source
                    + " holds no dictionary of named tensors; save a model's state_dict()");
        }
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        Deque<Pending> pending = new ArrayDeque<>();
        pending.push(new Pending("", 0, root));
        long work = 0;
        while (!pending.isEmpty()) {
            Pending next = pending.pop();
            switch (next.value) {
                case Unpickler.TensorView view -> {
                    if (tensors.put(next.name, tensor(next.name, view)) != null) {
                        throw new CheckpointException(source + " holds two tensors named "
                                + SafeTensorsHeader.brief(next.name));
                    }
                }
                case Unpickler.Dict dict -> {
                    if (next.depth == MAX_DEPTH) {
                        throw new CheckpointException(source + " nests more than " + MAX_DEPTH + " dictionaries");
                    }
                    for (int i = dict.size() - 1; i >= 0; i--) {
                        if (dict.key(i) instanceof String || dict.key(i) instanceof Long) {
                            String key = dict.key(i).toString();
                            work += 1 + next.name.length() + key.length();
                            if (work > limit) {
                                throw new CheckpointException(source
                                        + " nests its dictionaries into more entries than it has bytes");
                            }
                            pending.push(new Pending(next.depth == 0 ? key : next.name + "." + key,
                                    next.depth + 1, dict.value(i)));
                        }
                    }
                }
                default -> { }
            }
        }
        return Collections.unmodifiableMap(tensors);
    }

    private StoredTensor tensor(String name, Unpickler.TensorView view) {
        long[] shape = unpickler.shape(view);
        long[] strides = unpickler.strides(view);
        boolean contiguous = true;
        long elements = 1;
        long last = view.offset;
        try {
            for (int axis = shape.length - 1; axis >= 0; axis--) {
                if (shape[axis] < 0 || strides[axis] < 0) {
                    throw new ArithmeticException();
                }
                contiguous &= shape[axis] == 1 || strides[axis] == elements;
                elements = Math.multiplyExact(elements, shape[axis]);
                last = Math.addExact(last, Math.multiplyExact(Math.max(0, shape[axis] - 1), strides[axis]));
            }
        } catch (ArithmeticException e) {
            last = Long.MAX_VALUE;
        }
        long stored = view.storage.elements();
        if (view.offset < 0 || view.offset > stored || elements > 0 && last >= stored || elements > stored) {
            throw new CheckpointException(source + ": the tensor " + SafeTensorsHeader.brief(name) + " of shape "
                    + SafeTensorsHeader.brief(Arrays.toString(shape)) + " with strides "
                    + SafeTensorsHeader.brief(Arrays.toString(strides)) + " from element " + view.offset
                    + " on is not within the " + stored + " elements of its storage");
        }
        return new StoredTensor(name, source, view.storage.dtype(), shape, view.storage.data(), view.offset,
                contiguous || elements == 0 ? null : strides);
    }
}
