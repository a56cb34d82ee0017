package org.megabyte4j.model;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.zip.CRC32C;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * A model's weights in one flat arena on a device, shared by whatever trains, evaluates or generates with them. Owns
 * the memory.
 *
 * <p>The arena is F32 whatever the model computes in: it is what optimisers change and checkpoints hold. A model that
 * computes in BF16 reads a copy of it in that type, which optimisers keep up to date; whoever else writes weights calls
 * {@link #refresh}.
 */
public final class Parameters implements AutoCloseable {
    /** Elements that are on the host at a time. */
    private static final long CHUNK = 1 << 20;

    private final MegabyteConfig config;
    private final DType dtype;
    private final ParameterLayout layout;
    private final MemoryPlan plan = new MemoryPlan();
    private final Tensor arena;
    private final Tensor computeCopy;   // BF16, mirrors the arena; null for F32

    /** Plans the arena of a model that computes in float32; {@link #allocate} makes it usable. */
    public Parameters(MegabyteConfig config) {
        this(config, DType.F32);
    }

    /**
     * Plans the arena; {@link #allocate} makes it usable.
     *
     * @param dtype in which the model computes, F32 or BF16: the type of its weights and activations
     * @throws IllegalArgumentException if it is another one
     */
    public Parameters(MegabyteConfig config, DType dtype) {
        if (dtype != DType.F32 && dtype != DType.BF16) {
            throw new IllegalArgumentException("a model computes in F32 or BF16, not in " + dtype);
        }
        this.config = config;
        this.dtype = dtype;
        this.layout = ModelLayout.of(config);
        this.arena = plan.tensor(MemoryPlan.Category.PARAMETERS, "parameters", DType.F32, layout.elements());
        this.computeCopy = dtype == DType.F32 ? null
                : plan.tensor(MemoryPlan.Category.PARAMETERS, "computeCopy", dtype, layout.elements());
    }

    /** Fresh weights on a device, the same for the same seed; see {@link Initializer}. */
    public static Parameters initialized(MegabyteConfig config, Backend backend, long seed) {
        return initialized(config, DType.F32, backend, seed);
    }

    /** As {@link #initialized(MegabyteConfig, Backend, long)} for a model that computes in {@code dtype}. */
    public static Parameters initialized(MegabyteConfig config, DType dtype, Backend backend, long seed) {
        Parameters parameters = new Parameters(config, dtype);
        parameters.allocate(backend);
        Initializer.initialize(parameters, backend, seed);
        return parameters;
    }

    /**
     * Takes the memory, zero-filled. Weights come from {@link Initializer} or a checkpoint.
     *
     * @throws MegabyteException if the device does not compute in {@link #dtype}, or has not enough memory
     */
    public void allocate(Backend backend) {
        backend.require(dtype);
        backend.allocate(plan);
    }

    public MegabyteConfig config() {
        return config;
    }

    /** In which the model computes, F32 or BF16. */
    public DType dtype() {
        return dtype;
    }

    public ParameterLayout layout() {
        return layout;
    }

    /** All parameters, F32 {@code [layout.elements()]}. */
    public Tensor arena() {
        return arena;
    }

    /** All parameters in the type that the model computes in, mirroring {@link #arena}; null if that is the arena. */
    public Tensor computeCopy() {
        return computeCopy;
    }

    /** What the model reads: the {@link #computeCopy}, or the arena itself. */
    Tensor computeArena() {
        return computeCopy == null ? arena : computeCopy;
    }

    /** One parameter by the reference's name, F32. */
    public Tensor get(String name) {
        return layout.view(arena, name);
    }

    /** Brings what the model reads up to date, after weights have been written. */
    public void refresh(Backend backend) {
        if (computeCopy != null) {
            try (MemoryPlan workspace = new MemoryPlan()) {
                Ops ops = backend.plan(workspace, dry -> dry.copy(arena, computeCopy));
                backend.allocate(workspace);
                ops.copy(arena, computeCopy);
                backend.synchronize();
            }
        }
    }

    /** CRC-32C of the float32 weights, eight hexadecimal digits: tells models apart. Reads all of them. */
    public String checksum(Backend backend) {
        CRC32C sum = new CRC32C();
        try (Arena chunk = Arena.ofConfined()) {
            long most = Math.min(CHUNK, arena.elements());
            MemorySegment host = chunk.allocate(Float.BYTES * most, Float.BYTES);
            for (long done = 0; done < arena.elements(); done += most) {
                MemorySegment part = host.asSlice(0, Float.BYTES * Math.min(most, arena.elements() - done));
                backend.read(arena.part(done, part.byteSize() / Float.BYTES), part);
                sum.update(part.asByteBuffer());
            }
        }
        return String.format("%08x", sum.getValue());
    }

    public MemoryPlan plan() {
        return plan;
    }

    @Override
    public void close() {
        plan.close();
    }
}
