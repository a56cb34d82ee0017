package org.megabyte4j.checkpoint;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.megabyte4j.tensor.DType;

/**
 * Reads a pickle that holds tensors and plain values. A pickle is a program that may call any Python function; of these
 * only the few that rebuild tensors are known here, and nothing is ever run.
 *
 * <p>Memory and time are bounded by a small multiple of the pickle's length: there are no copies, values that are
 * referred to twice stay one object, and nothing recurses.
 *
 * @see <a href="https://docs.python.org/3/library/pickletools.html">the opcodes</a>
 */
final class Unpickler {
    private static final int MAX_RANK = 16;

    /** A Python dict or OrderedDict; keys in their order, unhashed. Takes little while it is empty. */
    static final class Dict {
        private List<Object> items = List.of();

        int size() {
            return items.size() / 2;
        }

        Object key(int index) {
            return items.get(2 * index);
        }

        Object value(int index) {
            return items.get(2 * index + 1);
        }

        private void put(Object key, Object value) {
            if (items.isEmpty()) {
                items = new ArrayList<>(4);
            }
            items.add(key);
            items.add(value);
        }
    }

    /** What a file keeps outside of the pickle: the elements of tensors. */
    @FunctionalInterface
    interface Storages {
        /** @param elements how many there must be */
        Storage find(String key, DType dtype, long elements);
    }

    /** A tensor's view of a storage; not yet checked. */
    static final class TensorView {
        final Storage storage;
        final long offset;
        private final Tuple shape;
        private final Tuple strides;

        private TensorView(Storage storage, long offset, Tuple shape, Tuple strides) {
            this.storage = storage;
            this.offset = offset;
            this.shape = shape;
            this.strides = strides;
        }
    }

    /** A Python function or class that this reader knows. */
    private enum Known {
        ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER,
        /** Makes or is a value that is no tensor, and is left out. */
        OTHER
    }

    private enum Nothing { NONE }

    private record Tuple(Object[] items) {
        static final Tuple EMPTY = new Tuple(new Object[0]);
    }

    private record StorageType(DType dtype) {
    }

    private static final Map<String, Object> GLOBALS = Map.ofEntries(
            Map.entry("collections.OrderedDict", Known.ORDERED_DICT),
            Map.entry("torch._utils._rebuild_tensor", Known.REBUILD_TENSOR),
            Map.entry("torch._utils._rebuild_tensor_v2", Known.REBUILD_TENSOR),
            Map.entry("torch._utils._rebuild_parameter", Known.REBUILD_PARAMETER),
            Map.entry("torch.Size", Known.OTHER),
            Map.entry("torch.device", Known.OTHER),
            Map.entry("_codecs.encode", Known.OTHER),
            Map.entry("torch.float32", Known.OTHER),
            Map.entry("torch.float16", Known.OTHER),
            Map.entry("torch.bfloat16", Known.OTHER),
            Map.entry("torch.float64", Known.OTHER),
            Map.entry("torch.int64", Known.OTHER),
            Map.entry("torch.FloatStorage", new StorageType(DType.F32)),
            Map.entry("torch.DoubleStorage", new StorageType(DType.F64)),
            Map.entry("torch.HalfStorage", new StorageType(DType.F16)),
            Map.entry("torch.BFloat16Storage", new StorageType(DType.BF16)),
            Map.entry("torch.LongStorage", new StorageType(DType.I64)),
            Map.entry("torch.IntStorage", new StorageType(DType.I32)),
            Map.entry("torch.ShortStorage", new StorageType(DType.I16)),
            Map.entry("torch.CharStorage", new StorageType(DType.I8)),
            Map.entry("torch.ByteStorage", new StorageType(DType.U8)),
            Map.entry("torch.BoolStorage", new StorageType(DType.BOOL)));

    private final String source;
    private final ByteBuffer in;
    private final Storages storages;
    private final List<Object> stack = new ArrayList<>();
    private final List<Integer> marks = new ArrayList<>();
    private Object[] memo = new Object[16];
    private int memoized;
    private long copied;

    /** @param source the file, for messages */
    Unpickler(String source, byte[] pickle, Storages storages) {
        this.source = source;
        this.in = ByteBuffer.wrap(pickle).order(ByteOrder.LITTLE_ENDIAN);
        this.storages = storages;
    }

    /**
     * The value that the pickle describes: a {@link Dict}, {@link TensorView}, String, Long, or anything else.
     *
     * @throws CheckpointException if the pickle is damaged or needs a function that is not known
     */
    Object read() {
        while (true) {
            int at = in.position();
            int opcode = unsigned(1);
            switch (opcode) {
                case 0x80 -> protocol(unsigned(1));
                case 0x95 -> skip(8);                                          // FRAME
                case '.' -> {
                    return pop();
                }
                case '(' -> marks.add(stack.size());
                case 'N' -> push(Nothing.NONE);
                case 0x88 -> push(true);
                case 0x89 -> push(false);
                case 'K' -> push((long) unsigned(1));
                case 'M' -> push((long) unsigned(2));
                case 'J' -> push((long) need(4).getInt());
                case 0x8a -> push(integer(unsigned(1)));                       // LONG1
                case 'G' -> push(Double.longBitsToDouble(Long.reverseBytes(need(8).getLong())));
                case 'X', 'T' -> push(string(need(4).getInt()));               // BINUNICODE, BINSTRING
                case 0x8c, 'U' -> push(string(unsigned(1)));
                case 'B' -> bytes(need(4).getInt());
                case 'C' -> bytes(unsigned(1));
                case '}' -> push(new Dict());
                case ']' -> push(new ArrayList<>(0));
                case ')' -> push(Tuple.EMPTY);
                case 't' -> push(new Tuple(popToMark()));
                case 0x85, 0x86, 0x87 -> push(new Tuple(popMany(opcode - 0x84)));
                case 'a' -> append(popMany(1));
                case 'e' -> append(popToMark());
                case 's' -> setItems(popMany(2));
                case 'u' -> setItems(popToMark());
                case 'q' -> memoize(unsigned(1));
                case 'r' -> memoize(need(4).getInt());
                case 0x94 -> memoize(memoized);
                case 'h' -> push(recall(unsigned(1)));
                case 'j' -> push(recall(need(4).getInt()));
                case 'c' -> push(global(line(), line()));
                case 0x93 -> {
                    Object[] names = popMany(2);
                    push(global(text(names[0]), text(names[1])));
                }
                case 'Q' -> push(persistent(pop()));
                case 'R' -> {
                    Object[] call = popMany(2);
                    push(call(call[0], call[1]));
                }
                case 'b' -> build(popMany(1));
                default -> throw damaged("the opcode 0x" + Integer.toHexString(opcode) + " at byte " + at
                        + " is not one that tensors need");
            }
        }
    }

    private void protocol(int version) {
        if (version < 2 || version > 5) {
            throw damaged("protocol " + version + " is not one of 2 to 5");
        }
    }

    private Object global(String module, String name) {
        String full = module + "." + name;
        Object known = GLOBALS.get(full);
        if (known == null) {
            throw new CheckpointException(source + " asks to run " + SafeTensorsHeader.brief(full)
                    + "; only tensors are read from such a file, and nothing in it is run. If you trust it, load it in"
                    + " PyTorch and save its state_dict() alone");
        }
        return known;
    }

    private Object call(Object function, Object argument) {
        if (!(argument instanceof Tuple(Object[] arguments))) {
            throw damaged("a function is called without a tuple of arguments");
        }
        if (!(function instanceof Known known)) {
            throw damaged("something is called that is no function");
        }
        return switch (known) {
            case ORDERED_DICT -> orderedDict(arguments);
            case REBUILD_TENSOR -> tensor(arguments);
            case REBUILD_PARAMETER -> argument(arguments, 0);
            case OTHER -> Nothing.NONE;
        };
    }

    private Dict orderedDict(Object[] arguments) {
        Dict dict = new Dict();
        if (arguments.length > 0) {
            if (!(arguments[0] instanceof List<?> pairs)) {
                throw damaged("an OrderedDict is made of something that is no list");
            }
            copied += pairs.size();
            if (copied > in.limit()) {
                throw damaged("one list is made into too many dictionaries");
            }
            for (Object pair : pairs) {
                Object[] two = pair instanceof List<?> list ? list.toArray()
                        : pair instanceof Tuple(Object[] items) ? items : new Object[0];
                if (two.length != 2) {
                    throw damaged("an OrderedDict is made of something that is no pair");
                }
                dict.put(two[0], two[1]);
            }
        }
        return dict;
    }

    private TensorView tensor(Object[] arguments) {
        if (!(argument(arguments, 0) instanceof Storage storage)) {
            throw damaged("a tensor has no storage");
        }
        if (!(argument(arguments, 2) instanceof Tuple shape) || !(argument(arguments, 3) instanceof Tuple strides)) {
            throw damaged("a tensor has no sizes");
        }
        return new TensorView(storage, number(argument(arguments, 1)), shape, strides);
    }

    private Storage persistent(Object id) {
        if (!(id instanceof Tuple(Object[] parts)) || parts.length < 5 || !"storage".equals(parts[0])) {
            throw damaged("a persistent id is not that of a storage");
        }
        if (!(parts[1] instanceof StorageType(DType dtype))) {
            throw damaged("a storage has no type");
        }
        return storages.find(text(parts[2]), dtype, number(parts[4]));
    }

    /** State of an object, such as the {@code _metadata} of a state dict; a dictionary needs none of it. */
    private void build(Object[] state) {
        if (!(top() instanceof Dict)) {
            throw damaged("a state is set on something that is no dictionary");
        }
    }

    private void append(Object[] items) {
        if (!(top() instanceof List<?>)) {
            throw damaged("something is appended to what is no list");
        }
        @SuppressWarnings("unchecked")
        List<Object> list = (List<Object>) top();
        list.addAll(Arrays.asList(items));
    }

    private void setItems(Object[] items) {
        if (!(top() instanceof Dict dict) || items.length % 2 != 0) {
            throw damaged("items are set in what is no dictionary");
        }
        for (int i = 0; i < items.length; i += 2) {
            dict.put(items[i], items[i + 1]);
        }
    }

    private void memoize(int index) {
        // Python numbers memo entries one by one, so an index beyond the pickle's length is damage.
        if (index < 0 || index >= in.limit()) {
            throw damaged("the memo index " + index + " is beyond the pickle");
        }
        if (index >= memo.length) {
            memo = Arrays.copyOf(memo, Math.max(index + 1, 2 * memo.length));
        }
        memo[index] = top();
        memoized++;
    }

    private Object recall(int index) {
        if (index < 0 || index >= memo.length || memo[index] == null) {
            throw damaged("the memo has no entry " + index);
        }
        return memo[index];
    }

    private void push(Object value) {
        stack.add(value);
    }

    /** The object on top, which the current group of items, if any, belongs to. */
    private Object top() {
        if (stack.size() <= floor()) {
            throw damaged("its stack is empty where a value is needed");
        }
        return stack.getLast();
    }

    private Object pop() {
        Object value = top();
        stack.removeLast();
        return value;
    }

    private int floor() {
        return marks.isEmpty() ? 0 : marks.getLast();
    }

    private Object[] popMany(int count) {
        Object[] values = new Object[count];
        for (int i = count - 1; i >= 0; i--) {
            values[i] = pop();
        }
        return values;
    }

    private Object[] popToMark() {
        if (marks.isEmpty()) {
            throw damaged("a group of items has no start");
        }
        List<Object> items = stack.subList(marks.removeLast(), stack.size());
        Object[] values = items.toArray();
        items.clear();
        return values;
    }

    private ByteBuffer need(int bytes) {
        if (in.remaining() < bytes) {
            throw damaged("it ends too early");
        }
        return in;
    }

    private int unsigned(int bytes) {
        need(bytes);
        return bytes == 1 ? in.get() & 0xFF : in.getShort() & 0xFFFF;
    }

    private void skip(int bytes) {
        need(bytes).position(in.position() + bytes);
    }

    private void bytes(int length) {
        if (length < 0) {
            throw damaged("it ends too early");
        }
        skip(length);
        push(Nothing.NONE);
    }

    private String string(int length) {
        if (length < 0 || length > in.remaining()) {
            throw damaged("it ends too early");
        }
        String text = new String(in.array(), in.position(), length, StandardCharsets.UTF_8);
        in.position(in.position() + length);
        return text;
    }

    private String line() {
        int start = in.position();
        while (need(1).get() != '\n') {
            // up to the end of the line
        }
        return new String(in.array(), start, in.position() - 1 - start, StandardCharsets.UTF_8);
    }

    /** A little-endian number in two's complement. */
    private long integer(int length) {
        if (length > 8) {
            // Large numbers may stand beside tensors (random seeds), but none that matters here has more than 64 bits.
            skip(length);
            return Long.MAX_VALUE;
        }
        need(length);
        long value = 0;
        for (int i = 0; i < length; i++) {
            value |= (in.get() & 0xFFL) << 8 * i;
        }
        int unused = 64 - 8 * length;
        return length == 0 ? 0 : value << unused >> unused;
    }

    private Object argument(Object[] arguments, int index) {
        if (index >= arguments.length) {
            throw damaged("a function has too few arguments");
        }
        return arguments[index];
    }

    private String text(Object value) {
        if (value instanceof String text) {
            return text;
        }
        throw damaged("a text is expected where there is none");
    }

    private long number(Object value) {
        if (value instanceof Long number) {
            return number;
        }
        throw damaged("a whole number is expected where there is none");
    }

    private long[] numbers(Tuple tuple) {
        if (tuple.items.length > MAX_RANK) {
            throw damaged("a tensor has " + tuple.items.length + " axes; at most " + MAX_RANK + " are read");
        }
        return Arrays.stream(tuple.items).mapToLong(this::number).toArray();
    }

    long[] shape(TensorView view) {
        return numbers(view.shape);
    }

    /** Elements from one index of an axis to the next, as many as the shape has sizes. */
    long[] strides(TensorView view) {
        if (view.strides.items.length != view.shape.items.length) {
            throw damaged("a tensor has " + view.shape.items.length + " sizes, but " + view.strides.items.length
                    + " strides");
        }
        return numbers(view.strides);
    }

    private CheckpointException damaged(String what) {
        return new CheckpointException(source + " holds a damaged or unknown pickle: " + what);
    }
}
