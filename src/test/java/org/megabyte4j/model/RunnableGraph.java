package org.megabyte4j.model;

import java.util.function.Function;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.MemoryPlan;

/** A graph with its memory, ready to run. */
public final class RunnableGraph implements AutoCloseable {
    private final Backend backend;
    private final MemoryPlan plan = new MemoryPlan();
    public final Megabyte graph;
    public final Ops ops;

    private RunnableGraph(Backend backend, Function<MemoryPlan, Megabyte> built) {
        this.backend = backend;
        graph = built.apply(plan);
        ops = backend.plan(plan, dry -> {
            graph.forward(dry);
            if (graph.gradients() != null) {
                graph.lossAndBackward(dry);
            } else {
                graph.loss(dry);
            }
        });
        backend.allocate(plan);
    }

    public static RunnableGraph training(Backend backend, Parameters parameters, int batch, int length) {
        return training(backend, parameters, batch, length, Recomputation.NONE);
    }

    public static RunnableGraph training(Backend backend, Parameters parameters, int batch, int length,
            Recomputation recomputation) {
        return training(backend, parameters, batch, length, recomputation, backend.fusion());
    }

    /** @param fusion which layers are computed at once */
    public static RunnableGraph training(Backend backend, Parameters parameters, int batch, int length,
            Recomputation recomputation, Fusion fusion) {
        return new RunnableGraph(backend,
                plan -> Megabyte.forTraining(parameters, batch, length, recomputation, plan, fusion));
    }

    public static RunnableGraph evaluation(Backend backend, Parameters parameters, int batch, int length) {
        return new RunnableGraph(backend, plan -> Megabyte.forEvaluation(parameters, batch, length, plan,
                backend.fusion()));
    }

    /** Without logits; {@code chunk} patches of the local model at a time. */
    public static RunnableGraph loss(Backend backend, Parameters parameters, int batch, int length, int chunk) {
        return new RunnableGraph(backend, plan -> Megabyte.forLoss(parameters, batch, length, chunk, plan,
                backend.fusion()));
    }

    /** Runs forward and gives the logits. */
    public float[] logits(int... ids) {
        backend.write(graph.ids(), ids);
        graph.forward(ops);
        return backend.readFloats(graph.logits());
    }

    /** Runs forward and gives the loss. */
    public float loss(int... ids) {
        backend.write(graph.ids(), ids);
        ops.fill(graph.loss(), 0);
        graph.forward(ops);
        graph.loss(ops);
        return backend.readFloats(graph.loss())[0];
    }

    /** Runs forward and backward from zero gradients and gives the loss. */
    public float step(int... ids) {
        backend.write(graph.ids(), ids);
        ops.fill(graph.gradients(), 0);
        ops.fill(graph.loss(), 0);
        graph.forward(ops);
        graph.lossAndBackward(ops);
        return backend.readFloats(graph.loss())[0];
    }

    @Override
    public void close() {
        plan.close();
    }
}
