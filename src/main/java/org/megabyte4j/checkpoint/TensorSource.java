package org.megabyte4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * A tensor that shall be written to a file. Its elements are fetched piece by piece while the file is written, so that
 * there is never a second copy of it.
 *
 * @param name     the name in the file
 * @param dtype    the element type in the file
 * @param shape    sizes
 * @param elements where the elements come from
 */
public record TensorSource(String name, DType dtype, long[] shape, Elements elements) {
    /**
     * Gives {@code count} elements from flat index {@code from} on, row-major, in the source's dtype, to memory that
     * has room for at least as many.
     */
    @FunctionalInterface
    public interface Elements {
        void read(long from, long count, MemorySegment to);
    }

    /** A tensor on a device. */
    public static TensorSource of(String name, Tensor tensor, Backend backend) {
        return new TensorSource(name, tensor.dtype(), tensor.shape(),
                (from, count, to) -> backend.read(tensor.part(from, count),
                        to.asSlice(0, count * tensor.dtype().bytes())));
    }

    /** A tensor of another file, which must stay open. */
    public static TensorSource of(StoredTensor tensor) {
        return new TensorSource(tensor.name(), tensor.dtype(), tensor.shape(), tensor::read);
    }

    /** Elements on the host. */
    public static TensorSource of(String name, DType dtype, MemorySegment data, long... shape) {
        int size = dtype.bytes();
        return new TensorSource(name, dtype, shape.clone(),
                (from, count, to) -> MemorySegment.copy(data, from * size, to, 0, count * size));
    }

    /** All tensors of a flat arena, such as an optimiser's moments, under the parameters' names with a prefix. */
    public static List<TensorSource> of(String prefix, ParameterLayout layout, Tensor arena, Backend backend) {
        List<TensorSource> sources = new ArrayList<>();
        for (String name : layout.names()) {
            sources.add(of(prefix + name, layout.view(arena, name), backend));
        }
        return sources;
    }

    /** The weights of a model, under the reference's names. */
    public static List<TensorSource> of(Parameters parameters, Backend backend) {
        return of("", parameters.layout(), parameters.arena(), backend);
    }

    /**
     * The same tensor rounded to another floating-point type; integers stay as they are. Reading it throws a
     * {@link CheckpointException} if a number becomes infinite by that.
     */
    public TensorSource as(DType wanted) {
        if (wanted == dtype || !dtype.isFloating()) {
            return this;
        }
        return new TensorSource(name, wanted, shape, (from, count, to) -> {
            MemorySegment raw = MemorySegment.ofArray(new double[Math.toIntExact(count)]);
            elements.read(from, count, raw);
            ElementTypes.convert(dtype, raw, wanted, to, count);
            if (!ElementTypes.allFinite(wanted, to, count) && ElementTypes.allFinite(dtype, raw, count)) {
                throw new CheckpointException("the tensor " + name + " has a value that is too large for " + wanted
                        + "; use BF16 or F32");
            }
        });
    }

    public long count() {
        return Tensor.elements(shape);
    }

    /** Bytes in the file. */
    public long bytes() {
        return Math.multiplyExact(count(), (long) dtype.bytes());
    }
}
