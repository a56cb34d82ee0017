package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.function.Consumer;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * A device that can hold tensors and compute with them. How a program comes to run:
 *
 * <pre>{@code
 * MemoryPlan plan = new MemoryPlan();
 * Tensor x = plan.tensor(...);                               // shapes first
 * Ops ops = backend.plan(plan, dry -> dry.layerNorm(x, ...)); // one dry run tells the workspace
 * backend.allocate(plan);                                    // then memory
 * ops.layerNorm(x, ...);                                     // then work
 * }</pre>
 *
 * <p>A backend is used by one thread at a time. Closing it frees what it still holds.
 */
public interface Backend extends AutoCloseable {
    /** Short name for the {@code --device} option and for messages, such as {@code cpu}. */
    String name();

    /** One line about the device and the libraries in use, for {@code info} and benchmark reports. */
    String description();

    /** Bytes of the device's memory, and how many of them are taken, by whomever; null where that is the host's. */
    default MemoryUse memoryUse() {
        return null;
    }

    /** Memory of a device, in bytes. */
    record MemoryUse(long taken, long total) { }

    /** What there was to choose for the programs that were allocated, and what was taken; for reports. */
    default Map<String, String> choices() {
        return Map.of();
    }

    /** Whether a model's weights and activations can be of this type here. */
    default boolean supports(DType dtype) {
        return dtype == DType.F32;
    }

    /** Which layers are computed at once here. */
    default Fusion fusion() {
        return Fusion.NONE;
    }

    /**
     * Refuses a type that this device does not compute in.
     *
     * @throws MegabyteException that names what would work
     */
    default void require(DType dtype) {
        if (!supports(dtype)) {
            throw new MegabyteException("the device " + name() + " cannot compute in " + dtype.label()
                    + "; use --dtype " + DType.F32.label() + ", or --device cuda");
        }
    }

    /**
     * Whether {@link Ops#linear} and {@link Ops#linearGelu} take a weight of one type where everything else is of
     * another.
     */
    default boolean supports(DType dtype, DType weights) {
        return weights == dtype;
    }

    /**
     * Refuses a type that this device does not compute in, or does not read weights in.
     *
     * @throws MegabyteException that names what would work
     */
    default void require(DType dtype, DType weights) {
        require(dtype);
        if (!supports(dtype, weights)) {
            throw new MegabyteException("the device " + name() + " cannot read weights in " + weights.label()
                    + " for a model that computes in " + dtype.label() + "; use --weights " + dtype.label()
                    + (supports(weights) ? ", or --dtype " + weights.label() : ""));
        }
    }

    /**
     * Makes the operations for one program and plans their workspace.
     *
     * @param plan    gets the workspace, as {@link MemoryPlan.Category#WORKSPACE}
     * @param program everything that will be asked of the result, once; it is called with operations that compute
     *                nothing. A program with branches calls all of them
     */
    Ops plan(MemoryPlan plan, Consumer<Ops> program);

    /**
     * Allocates plans on this device, all or none.
     *
     * @throws OutOfMemoryException before anything is allocated, if the device has not as much as they need together
     */
    void allocate(MemoryPlan... plans);

    /** A zero-filled block of device memory. */
    Memory allocate(long bytes);

    /** Copies host bytes into a tensor, whose dtype they already have. */
    void write(Tensor to, MemorySegment from);

    /** Waits for the work that {@code from} depends on and copies its bytes to the host. */
    void read(Tensor from, MemorySegment to);

    /**
     * Whether work goes on while the host does something else, so that a result costs a wait: then it pays to enqueue
     * much before asking for any.
     */
    default boolean isAsynchronous() {
        return false;
    }

    /**
     * Whether {@link Ops#decodePatch} computes this model, at one go and faster than operation by operation.
     *
     * @param batch     sequences side by side
     * @param patchSize bytes of a patch
     */
    default boolean decodesPatches(LocalModel model, long batch, int patchSize) {
        return false;
    }

    /** Waits until all enqueued work is done. */
    void synchronize();

    /**
     * Makes enqueued work repeatable at the lowest cost: each run of the result enqueues everything that {@code work}
     * would. The work may be called once, twice, or at every run, and must enqueue the same each time; it only calls
     * operations, and does not write or read tensors itself.
     */
    default Recording record(Runnable work) {
        return Recording.of(work);
    }

    /**
     * Brings small results to the host later than they are computed.
     *
     * @param scalars F32 tensors of one element
     */
    default Readback readback(Tensor... scalars) {
        return new ImmediateReadback(this, scalars);
    }

    /** Times work on this device. */
    default Stopwatch stopwatch() {
        return Stopwatch.ofTheHost();
    }

    /**
     * Brings a small tensor to the host later than it is computed.
     *
     * @param ints I32
     */
    default IntReadback intReadback(Tensor ints) {
        return new ImmediateIntReadback(this, ints);
    }

    @Override
    void close();

    /** All elements of a tensor of F32 or BF16. For small tensors and tests. */
    default float[] readFloats(Tensor from) {
        if (from.dtype() == DType.BF16) {
            short[] upper = new short[Math.toIntExact(from.elements())];
            read(from, MemorySegment.ofArray(upper));
            float[] values = new float[upper.length];
            for (int i = 0; i < values.length; i++) {
                values[i] = Float.intBitsToFloat(upper[i] << 16);
            }
            return values;
        }
        require(from, DType.F32);
        float[] values = new float[Math.toIntExact(from.elements())];
        read(from, MemorySegment.ofArray(values));
        return values;
    }

    /** All elements of an I32 tensor. */
    default int[] readInts(Tensor from) {
        require(from, DType.I32);
        int[] values = new int[Math.toIntExact(from.elements())];
        read(from, MemorySegment.ofArray(values));
        return values;
    }

    /** Sets all elements of an F32 tensor. */
    default void write(Tensor to, float... values) {
        require(to, DType.F32);
        write(to, MemorySegment.ofArray(values));
    }

    /** Sets all elements of an I32 tensor. */
    default void write(Tensor to, int... values) {
        require(to, DType.I32);
        write(to, MemorySegment.ofArray(values));
    }

    /**
     * For backends: whether host memory is what a tensor's elements take.
     *
     * @throws IllegalArgumentException if it is more or less
     */
    static void checkSize(Tensor tensor, MemorySegment host) {
        if (host.byteSize() != tensor.bytes()) {
            throw new IllegalArgumentException(host.byteSize() + " bytes do not fit a tensor of " + tensor.bytes()
                    + " bytes, " + tensor);
        }
    }

    private static void require(Tensor tensor, DType dtype) {
        if (tensor.dtype() != dtype) {
            throw new IllegalArgumentException("a tensor of " + dtype + " is needed, this one is " + tensor);
        }
    }
}
