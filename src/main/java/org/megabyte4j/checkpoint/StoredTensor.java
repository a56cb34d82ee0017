package org.megabyte4j.checkpoint;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/**
 * A tensor in an open file. Its elements stay in the file, little-endian, until they are read; after the file is closed
 * they can no longer be.
 */
public final class StoredTensor {
    /** Bytes that are copied at a time. */
    private static final int CHUNK = 4 << 20;

    private final String name;
    private final String source;
    private final DType dtype;
    private final long[] shape;
    private final long elements;
    private final MemorySegment storage;
    private final long offset;
    private final long[] strides;

    /**
     * @param source  the file, for messages
     * @param storage the bytes that the tensor is a view of
     * @param offset  elements from the start of the storage to the first element
     * @param strides elements from one index of an axis to the next; null where the tensor is contiguous, row-major
     */
    StoredTensor(String name, String source, DType dtype, long[] shape, MemorySegment storage, long offset,
            long[] strides) {
        this.name = name;
        this.source = source;
        this.dtype = dtype;
        this.shape = shape.clone();
        this.storage = storage;
        this.offset = offset;
        this.strides = strides;
        long product = 1;
        for (long size : shape) {
            product = Math.multiplyExact(product, size);
        }
        this.elements = product;
    }

    public String name() {
        return name;
    }

    public DType dtype() {
        return dtype;
    }

    public long[] shape() {
        return shape.clone();
    }

    public long elements() {
        return elements;
    }

    public long bytes() {
        return elements * dtype.bytes();
    }

    /** Whether the elements lie in the file one after the other, row by row, so that {@link #data} can show them. */
    public boolean isContiguous() {
        return strides == null;
    }

    /**
     * The elements in the file itself, read-only and not necessarily aligned.
     *
     * @throws IllegalStateException if the tensor is a strided view; use {@link #read}
     */
    public MemorySegment data() {
        if (!isContiguous()) {
            throw new IllegalStateException(name + " is a strided view of its storage");
        }
        return storage.asSlice(offset * dtype.bytes(), bytes());
    }

    /** Copies {@code count} elements from flat index {@code from} on, row-major, in the tensor's own dtype. */
    public void read(long from, long count, MemorySegment to) {
        if (from < 0 || count < 0 || count > elements - from) {
            throw new IndexOutOfBoundsException("elements " + from + " to " + (from + count) + " are not within "
                    + this);
        }
        int size = dtype.bytes();
        if (isContiguous()) {
            MemorySegment.copy(storage, (offset + from) * size, to, 0, count * size);
            return;
        }
        long[] index = indexOf(from);
        int last = shape.length - 1;
        for (long done = 0; done < count; ) {
            long run = Math.min(shape[last] - index[last], count - done);
            long position = offset;
            for (int axis = 0; axis <= last; axis++) {
                position += index[axis] * strides[axis];
            }
            for (long i = 0; i < run; i++) {
                MemorySegment.copy(storage, (position + i * strides[last]) * size, to, (done + i) * size, size);
            }
            done += run;
            index[last] += run;
            for (int axis = last; axis > 0 && index[axis] == shape[axis]; axis--) {
                index[axis] = 0;
                index[axis - 1]++;
            }
        }
    }

    private long[] indexOf(long flat) {
        long[] index = new long[shape.length];
        for (int axis = shape.length - 1; axis >= 0 && elements > 0; axis--) {
            index[axis] = flat % shape[axis];
            flat /= shape[axis];
        }
        return index;
    }

    /**
     * Copies {@code count} elements from flat index {@code from} on as {@code wanted}. Numbers are rounded to the
     * nearest even where the type is narrower.
     *
     * @throws CheckpointException if a floating-point tensor is read as integers, or an integer does not fit
     */
    public void readAs(DType wanted, long from, long count, MemorySegment to) {
        if (wanted == dtype) {
            read(from, count, to);
            return;
        }
        int chunk = (int) Math.min(count, 1 << 16);
        MemorySegment raw = MemorySegment.ofArray(new long[(chunk * dtype.bytes() + 7) / 8]);
        for (long done = 0; done < count; done += chunk) {
            int now = (int) Math.min(chunk, count - done);
            read(from + done, now, raw);
            MemorySegment part = to.asSlice(done * wanted.bytes(), (long) now * wanted.bytes());
            try {
                ElementTypes.convert(dtype, raw, wanted, part, now);
            } catch (ArithmeticException e) {
                throw new CheckpointException(source + ": the tensor " + this + " cannot be read as " + wanted + ": "
                        + e.getMessage(), e);
            }
        }
    }

    /** All elements as float32. For tensors that fit an array. */
    public float[] floats() {
        float[] values = new float[arrayLength()];
        readAs(DType.F32, 0, values.length, MemorySegment.ofArray(values));
        return values;
    }

    /** All elements as ints; integer tensors only. */
    public int[] ints() {
        int[] values = new int[arrayLength()];
        readAs(DType.I32, 0, values.length, MemorySegment.ofArray(values));
        return values;
    }

    /**
     * Copies all elements to a device, converted to the dtype of {@code to}.
     *
     * @throws CheckpointException if the shapes differ or the elements cannot be converted
     */
    public void load(Tensor to, Backend backend) {
        if (!Arrays.equals(shape, to.shape())) {
            throw new CheckpointException(source + ": the tensor " + this + " does not have the shape of " + to);
        }
        int size = to.dtype().bytes();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment chunk = arena.allocate(Math.min(CHUNK, to.bytes()), 64);
            for (long done = 0, now; done < elements; done += now) {
                now = Math.min(CHUNK / size, elements - done);
                MemorySegment part = chunk.asSlice(0, now * size);
                readAs(to.dtype(), done, now, part);
                backend.write(to.part(done, now), part);
            }
        }
    }

    private int arrayLength() {
        if (elements > Integer.MAX_VALUE - 8) {
            throw new CheckpointException(source + ": the tensor " + this + " has more elements than an array can"
                    + " hold");
        }
        return (int) elements;
    }

    /** The tensor with another name. */
    StoredTensor renamed(String other) {
        return new StoredTensor(other, source, dtype, shape, storage, offset, strides);
    }

    @Override
    public String toString() {
        return name + " " + dtype + Arrays.toString(shape);
    }
}
