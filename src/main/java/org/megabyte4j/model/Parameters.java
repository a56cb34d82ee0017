package org.megabyte4j.model;

import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * A model's weights in one flat arena on a device, shared by whatever trains, evaluates or generates with them. Owns
 * the memory.
 */
public final class Parameters implements AutoCloseable {
    private final MegabyteConfig config;
    private final ParameterLayout layout;
    private final MemoryPlan plan = new MemoryPlan();
    private final Tensor arena;

    /** Plans the arena; {@link #allocate} makes it usable. */
    public Parameters(MegabyteConfig config) {
        this.config = config;
        this.layout = ModelLayout.of(config);
        this.arena = plan.tensor(MemoryPlan.Category.PARAMETERS, "parameters", DType.F32, layout.elements());
    }

    /** Fresh weights on a device, the same for the same seed; see {@link Initializer}. */
    public static Parameters initialized(MegabyteConfig config, Backend backend, long seed) {
        Parameters parameters = new Parameters(config);
        parameters.allocate(backend);
        Initializer.initialize(parameters, backend, seed);
        return parameters;
    }

    /** Takes the memory, zero-filled. Weights come from {@link Initializer} or a checkpoint. */
    public void allocate(Backend backend) {
        backend.allocate(plan);
    }

    public MegabyteConfig config() {
        return config;
    }

    public ParameterLayout layout() {
        return layout;
    }

    /** All parameters, F32 {@code [layout.elements()]}. */
    public Tensor arena() {
        return arena;
    }

    /** One parameter by the reference's name. */
    public Tensor get(String name) {
        return layout.view(arena, name);
    }

    public MemoryPlan plan() {
        return plan;
    }

    @Override
    public void close() {
        plan.close();
    }
}
