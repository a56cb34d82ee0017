package org.megabyte4j.tensor;

import java.util.Arrays;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/**
 * A typed, shaped, contiguous, row-major view of planned memory. It owns nothing: it is valid as long as the plan that
 * it comes from is allocated. Views share the memory.
 */
public final class Tensor {
    private final Region region;
    private final long regionOffset;
    private final DType dtype;
    private final long[] shape;
    private final long elements;

    Tensor(Region region, long regionOffset, DType dtype, long... shape) {
        this.region = region;
        this.regionOffset = regionOffset;
        this.dtype = dtype;
        this.shape = shape.clone();
        this.elements = elements(shape);
    }

    /** The product of the sizes; 1 for no axes. */
    public static long elements(long... shape) {
        long product = 1;
        for (long size : shape) {
            if (size < 0) {
                throw new ShapeException("shape " + Arrays.toString(shape) + " has a negative size");
            }
            product = Math.multiplyExact(product, size);
        }
        return product;
    }

    public DType dtype() {
        return dtype;
    }

    public int rank() {
        return shape.length;
    }

    /** The size of one axis; negative axes count from the last, -1 being the last. */
    public long size(int axis) {
        return shape[axis < 0 ? shape.length + axis : axis];
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

    /** All elements as a matrix whose row length is the last axis: the number of its rows. */
    public long rows() {
        return shape.length == 0 ? 1 : columns() == 0 ? 0 : elements / columns();
    }

    /** The last axis; 1 for a scalar. */
    public long columns() {
        return shape.length == 0 ? 1 : shape[shape.length - 1];
    }

    /**
     * The same elements under another shape.
     *
     * @throws ShapeException if the number of elements differs
     */
    public Tensor view(long... newShape) {
        if (elements(newShape) != elements) {
            throw new ShapeException("a tensor of shape " + this + " cannot be seen as " + Arrays.toString(newShape));
        }
        return new Tensor(region, regionOffset, dtype, newShape);
    }

    /**
     * Part of the first axis.
     *
     * @param from  first index taken
     * @param count how many
     * @throws ShapeException if the part does not lie within the axis
     */
    public Tensor slice(long from, long count) {
        if (shape.length == 0 || from < 0 || count < 0 || from + count > shape[0]) {
            throw new ShapeException("rows " + from + " to " + (from + count) + " are not within " + this);
        }
        if (count == shape[0]) {
            return this;
        }
        long[] part = shape.clone();
        part[0] = count;
        long rowBytes = shape[0] == 0 ? 0 : bytes() / shape[0];
        return new Tensor(region, regionOffset + from * rowBytes, dtype, part);
    }

    /** {@code count} elements from flat index {@code from} on, under a shape of their own. */
    public Tensor part(long from, long... partShape) {
        long count = elements(partShape);
        if (from < 0 || from + count > elements) {
            throw new ShapeException("elements " + from + " to " + (from + count) + " are not within " + this);
        }
        return new Tensor(region, regionOffset + from * dtype.bytes(), dtype, partShape);
    }

    /** How many elements the first of another view of the same memory lies behind the first of this one. */
    public OptionalLong distanceTo(Tensor other) {
        return other.region == region ? OptionalLong.of((other.regionOffset - regionOffset) / dtype.bytes())
                : OptionalLong.empty();
    }

    /** The block that holds the elements. For backends. */
    public Memory memory() {
        return region.memory();
    }

    /** Bytes from the start of {@link #memory()} to the first element. For backends. */
    public long offset() {
        return region.base() + regionOffset;
    }

    public boolean sameShape(Tensor other) {
        return Arrays.equals(shape, other.shape);
    }

    @Override
    public String toString() {
        return dtype + Arrays.stream(shape).mapToObj(Long::toString).collect(Collectors.joining(", ", "[", "]"));
    }
}
