package org.megabyte4j.train;

import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleConsumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.DryBackend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.Readback;
import org.megabyte4j.backend.Recording;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.backend.Stopwatch;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Trains a model, step by step:
 *
 * <pre>{@code
 * try (Backend backend = CpuBackend.open();
 *         Parameters parameters = Parameters.initialized(config, backend, 1);
 *         Trainer trainer = Trainer.create(parameters, TrainOptions.of(4, 512, 1e-3), backend)) {
 *     trainer.step(ids);
 *     System.out.println(trainer.loss());
 * }
 * }</pre>
 *
 * <p>Computes in {@link Parameters#dtype}; the optimiser always works on the F32 weights and gradients.
 *
 * <p>All memory is taken before the first step. A step only enqueues work; {@link #loss} waits for it. Used by one
 * thread. A whole run with data, checkpoints and metrics is a {@link TrainingRun}.
 */
public final class Trainer implements AutoCloseable {
    private final Parameters parameters;
    private final TrainOptions options;
    private final Backend backend;
    private final MemoryPlan plan = new MemoryPlan();
    private final Megabyte graph;
    private final Optimizer optimizer;
    private final StepInputs inputs;
    private final Tensor scalars;        // F32 [StepScalars.COUNT]
    private final Tensor targets;        // I32 [1], of all batches of a step
    private final Tensor gradientNorm;   // F32 [1]
    private final Tensor weightNorm;     // F32 [1]
    private final Ops.Clip clip;
    private final Ops ops;
    private Recording whole;             // a step of one batch
    private Recording begin;             // or the parts of a step of several
    private Recording accumulate;
    private Recording update;
    private Readback results;            // loss, gradientNorm
    private long lastResults = -1;
    private boolean measuresNorm;        // it takes a pass over all gradients
    private long stepsDone;
    private double batchFlops;           // of the layers, forward and backward
    private double stepFlopsDone;

    private Trainer(Parameters parameters, TrainOptions options, Backend backend) {
        this.parameters = parameters;
        this.options = options;
        this.backend = backend;
        backend.require(parameters.dtype());
        graph = Megabyte.forTraining(parameters, options.batch(), options.length(), options.recomputation(), plan,
                backend.fusion());
        optimizer = options.optimizer().plan(parameters.layout(), plan);
        inputs = new StepInputs(options.accumulate(), Math.multiplyExact(options.batch(), options.length()),
                parameters.config().vocabularySize(), parameters.config().padId());
        scalars = plan.tensor(MemoryPlan.Category.INPUTS, "scalars", DType.F32, StepScalars.COUNT);
        targets = plan.tensor(MemoryPlan.Category.INPUTS, "targets", DType.I32, 1);
        gradientNorm = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "gradientNorm", DType.F32, 1);
        weightNorm = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "weightNorm", DType.F32, 1);
        measuresNorm = options.clip() != 0;
        clip = options.clip() == 0 ? Ops.Clip.NONE : new Ops.Clip(gradientNorm, (float) options.clip());
        graph.onProgress(flops -> batchFlops += flops);
        ops = backend.plan(plan, dry -> {
            begin(dry);
            accumulate(dry);
            update(dry);
            dry.norm(graph.gradients(), gradientNorm);
            dry.norm(parameters.arena(), weightNorm);
        });
        graph.onProgress(flops -> { });
    }

    /**
     * A trainer whose memory is planned but not taken; {@link #allocate} takes it.
     *
     * @throws org.megabyte4j.model.ConfigException if the sequence length does not suit the model
     * @throws org.megabyte4j.MegabyteException if the device does not compute in the parameters' type
     */
    public static Trainer plan(Parameters parameters, TrainOptions options, Backend backend) {
        parameters.config().checkLength("--seq-len", options.length());
        return new Trainer(parameters, options, backend);
    }

    /**
     * A trainer ready for its first step.
     *
     * @param parameters the weights, which the trainer changes but does not own
     * @throws org.megabyte4j.backend.OutOfMemoryException if the device has not enough memory; nothing is taken then
     */
    public static Trainer create(Parameters parameters, TrainOptions options, Backend backend) {
        Trainer trainer = plan(parameters, options, backend);
        trainer.allocate();
        return trainer;
    }

    /** Takes the planned memory, together with that of other plans, or none of it. */
    public void allocate(MemoryPlan... others) {
        MemoryPlan[] plans = new MemoryPlan[others.length + 1];
        System.arraycopy(others, 0, plans, 0, others.length);
        plans[others.length] = plan;
        backend.allocate(plans);
        results = backend.readback(graph.loss(), gradientNorm);
        whole = backend.record(() -> {
            begin(ops);
            accumulate(ops);
            update(ops);
        });
        begin = backend.record(() -> begin(ops));
        accumulate = backend.record(() -> accumulate(ops));
        update = backend.record(() -> update(ops));
    }

    /** Before the first step: every step measures its gradients' norm, as it does for clipping anyway. */
    void measureNorm() {
        measuresNorm = true;
    }

    /**
     * Has a listener hear how far each step is, on a device where work is done when its call returns; elsewhere it is
     * never called. It may refer to {@link #stepsDone}, which counts a step when it is over.
     *
     * @param listener gets the share that is done, up to 1, after each layer
     */
    void onProgress(DoubleConsumer listener) {
        if (!backend.isAsynchronous()) {
            graph.onProgress(flops -> {
                stepFlopsDone += flops;
                listener.accept(stepFlopsDone / (batchFlops * options.accumulate()));
            });
        }
    }

    /** What the trainer needs beside the parameters. */
    public MemoryPlan memory() {
        return plan;
    }

    /**
     * One step: forward and backward over each accumulated batch, clipping, optimiser. The accumulated batches count as
     * one larger batch, in which each target that is not padding weighs the same.
     *
     * @param ids {@code [accumulate, batch, length]}, row-major
     * @throws org.megabyte4j.model.ConfigException if an id lies outside the vocabulary
     * @throws IllegalArgumentException if there are too few or too many ids
     */
    public void step(int... ids) {
        inputs.take(ids);
        stepFlopsDone = 0;
        optimizer.putScalars(stepsDone + 1, options.schedule().at(stepsDone + 1), inputs.scalarValues());
        backend.write(targets, inputs.targets());
        backend.write(scalars, inputs.scalars());
        if (options.accumulate() == 1) {
            backend.write(graph.ids(), inputs.batch(0));
            whole.run();
        } else {
            stepInParts();
        }
        stepsDone++;
        lastResults = results.enqueue();
    }

    private void stepInParts() {
        begin.run();
        for (int batch = 0; batch < options.accumulate(); batch++) {
            backend.write(graph.ids(), inputs.batch(batch));
            accumulate.run();
        }
        update.run();
    }

    /** Every operation of a step, in order, without running it; before or after {@link #allocate}. */
    public List<StepAccount.Call> account() {
        StepAccount.Recorder recorder = recorder(DryBackend.checks(), () -> { });
        program(recorder);
        return recorder.calls();
    }

    /**
     * Runs a step on the last one's ids and tells how long each operation took on the device. The step before it, which
     * runs again too, gives the host the time to enqueue all of them before the device comes to the first. The weights
     * have moved on by two steps that do not count; this is for measuring alone.
     */
    public List<StepAccount.Call> timedAccount() {
        try (Stopwatch watch = backend.stopwatch()) {
            StepAccount.Recorder recorder = recorder(ops, watch::lap);
            if (backend.isAsynchronous() && options.accumulate() == 1) {
                whole.run();
            }
            watch.lap();
            program(recorder);
            double[] seconds = watch.seconds();
            List<StepAccount.Call> calls = new ArrayList<>();
            for (StepAccount.Call call : recorder.calls()) {
                calls.add(call.taking(seconds[calls.size()]));
            }
            return calls;
        }
    }

    private StepAccount.Recorder recorder(Ops to, Runnable afterEach) {
        List<Tensor> arenas = new ArrayList<>(List.of(parameters.arena(), graph.gradients()));
        if (parameters.computeCopy() != null) {
            arenas.add(parameters.computeCopy());
        }
        return new StepAccount.Recorder(to, parameters.layout(), arenas, afterEach);
    }

    private void program(Ops on) {
        begin(on);
        for (int batch = 0; batch < options.accumulate(); batch++) {
            accumulate(on);
        }
        update(on);
    }

    private void begin(Ops on) {
        on.fill(graph.gradients(), 0);
        on.fill(graph.loss(), 0);
    }

    private void accumulate(Ops on) {
        graph.forward(on);
        graph.lossAndBackward(on, targets);
    }

    private void update(Ops on) {
        if (measuresNorm) {
            on.norm(graph.gradients(), gradientNorm);
        }
        optimizer.step(on, scalars, clip, parameters.arena(), parameters.computeCopy(), graph.gradients());
    }

    /** The loss of the last step, before its update: nats per byte, the mean over all its targets. Waits. */
    public float loss() {
        return loss(stepsDone);
    }

    /** The global L2 norm of the last step's gradients, before clipping. Waits. */
    public float gradientNorm() {
        if (measuresNorm) {
            return gradientNorm(stepsDone);
        }
        ops.norm(graph.gradients(), gradientNorm);
        return backend.readFloats(gradientNorm)[0];
    }

    /**
     * The loss of one of the last steps, as in {@link #loss()}. Waits for that step, not for those after it.
     *
     * @param step counted from 1
     * @throws IllegalArgumentException unless it is one of the last {@link Readback#KEPT} of this trainer
     */
    public float loss(long step) {
        return results.value(copyOf(step), 0);
    }

    /**
     * The gradients' norm of one of the last steps, as in {@link #gradientNorm()} and {@link #loss(long)}.
     *
     * @throws IllegalStateException if steps do not measure it, see {@link #measureNorm}
     */
    public float gradientNorm(long step) {
        if (!measuresNorm) {
            throw new IllegalStateException("without clipping, a step does not measure its gradients' norm unasked");
        }
        return results.value(copyOf(step), 1);
    }

    /** Whether a step's loss is known, so that {@link #loss(long)} has nothing to wait for. */
    boolean isDone(long step) {
        return results.isReady(copyOf(step));
    }

    private long copyOf(long step) {
        return lastResults - (stepsDone - step);
    }

    /** The learning rate of a step; for Adafactor its relative step. */
    float learningRate(long step) {
        float[] values = new float[StepScalars.COUNT];
        optimizer.putScalars(step, options.schedule().at(step), values);
        return values[StepScalars.LEARNING_RATE];
    }

    /** Whether every weight is a finite number. Waits. */
    boolean weightsAreFinite() {
        ops.norm(parameters.arena(), weightNorm);
        return Float.isFinite(backend.readFloats(weightNorm)[0]);
    }

    /** Steps done so far, those before a resume included. */
    public long stepsDone() {
        return stepsDone;
    }

    /** The learning rate of the last step; for Adafactor its relative step. */
    public float learningRate() {
        return learningRate(stepsDone);
    }

    public Parameters parameters() {
        return parameters;
    }

    public MegabyteConfig config() {
        return parameters.config();
    }

    public TrainOptions options() {
        return options;
    }

    /** The optimiser, whose state a checkpoint holds. */
    Optimizer optimizer() {
        return optimizer;
    }

    Backend backend() {
        return backend;
    }

    /** Continues after so many steps; parameters and optimiser state are the caller's to restore. */
    void continueAfter(long steps) {
        stepsDone = steps;
    }

    /** Gives the trainer's memory back; the parameters stay. */
    @Override
    public void close() {
        if (whole != null) {
            List.of(whole, begin, accumulate, update).forEach(Recording::close);
            results.close();
        }
        plan.close();
    }
}
