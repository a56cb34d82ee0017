package org.megabyte4j.train;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.data.BatchSource;

/**
 * A training run in a run folder: steps, validation, checkpoints, metrics, until the last step, a time limit, or a
 * request to stop. Resumed from a checkpoint it computes the same bits as if it had never stopped, on the same device
 * with the same number of threads.
 *
 * <p>A step's loss is looked at when it is known, or else when the next step is enqueued, so that a device that works
 * asynchronously never waits for the host.
 */
public final class TrainingRun implements AutoCloseable {
    /** Why a run has come to its end. */
    public enum Outcome {
        /** All steps are done. */
        FINISHED,
        /** The time limit is reached. */
        TIME_IS_UP,
        /** {@link #requestStop} was called. */
        STOPPED
    }

    private final Trainer trainer;
    private final BatchSource batches;
    private final Validation validation;
    private final RunFolder folder;
    private final RunOptions options;
    private final ObjectNode description;
    private final TrainingListener listener;
    private final RunMetrics metrics;

    private volatile boolean stopRequested;
    private long lastCheckpoint = -1;
    private long busyNanos;          // of steps since the last line of the metrics
    private long busySince;
    private long loggedStep;         // the last one that has a line
    private long dueStep;            // the one whose line is due; not after loggedStep if there is none

    /**
     * @param trainer     its memory must be taken; the run trains it but does not own it
     * @param batches     of {@code batch * accumulate} rows
     * @param validation  what is validated on; null for nothing
     * @param folder      where checkpoints and metrics go; not owned
     * @param description what {@code trainer.json} shall hold beside the step; see {@link Recipe}
     */
    public TrainingRun(Trainer trainer, BatchSource batches, Validation validation, RunFolder folder,
            RunOptions options, ObjectNode description, TrainingListener listener) {
        this.trainer = trainer;
        this.batches = batches;
        this.validation = validation;
        this.folder = folder;
        this.options = options;
        this.description = description;
        this.listener = listener;
        trainer.measureNorm();   // metrics hold it
        trainer.onProgress(this::stepGoesOn);
        loggedStep = trainer.stepsDone();
        metrics = new RunMetrics(folder.path(), trainer.stepsDone(), listener::notice);
    }

    /** Puts a trainer where it was when a checkpoint was written; before the run is made. */
    public static void restore(Trainer trainer, Checkpoint checkpoint) {
        Checkpoints.restore(trainer, checkpoint);
    }

    /**
     * Ends the run: after the step that is being done, or in the middle of it on a device that works while it is called,
     * where a step may take long. From any thread.
     */
    public void requestStop() {
        stopRequested = true;
    }

    /**
     * Trains. A checkpoint is written before the first step, so that a run can always be resumed, and after the last.
     *
     * @throws TrainException if the loss or the weights are no longer finite, or the metrics cannot be written; the
     *                        last good checkpoint is kept
     * @throws org.megabyte4j.checkpoint.CheckpointException if a checkpoint cannot be written
     */
    public Outcome run() {
        long start = System.nanoTime();
        if (trainer.stepsDone() == 0) {
            save();
        } else {
            lastCheckpoint = trainer.stepsDone();
            validateIfDue();
        }
        Outcome outcome = trainUntilDone(start);
        finishLog();
        if (outcome != Outcome.STOPPED) {
            validate();
        }
        save();
        return outcome;
    }

    /** Says that a step was given up. Weights and optimiser are those of the step before: they change last of all. */
    private static final class StepGivenUp extends RuntimeException {
        StepGivenUp() {
            super("the run was asked to stop", null, false, false);
        }
    }

    private void stepGoesOn(double done) {
        listener.progress(trainer.stepsDone() + 1, done);
        if (stopRequested) {
            throw new StepGivenUp();
        }
    }

    private Outcome trainUntilDone(long start) {
        int[] ids = new int[Math.toIntExact(batches.idsPerStep())];
        for (boolean first = true; trainer.stepsDone() < options.steps(); first = false) {
            if (stopRequested) {
                return Outcome.STOPPED;
            }
            if (options.maxTime() != null && Duration.ofNanos(System.nanoTime() - start).compareTo(options.maxTime()) >= 0) {
                return Outcome.TIME_IS_UP;
            }
            busySince = System.nanoTime();
            if (first) {
                batches.fill(trainer.stepsDone(), ids);
            }
            try {
                trainer.step(ids);
            } catch (StepGivenUp e) {
                return Outcome.STOPPED;
            }
            batches.fill(trainer.stepsDone(), ids);
            logIfKnown();
            noteBusy();
            validateIfDue();
            if (trainer.stepsDone() % options.bookkeeping().checkpointEvery() == 0) {
                save();
            }
        }
        return Outcome.FINISHED;
    }

    /** Writes the line that is due, unless that would wait for a step that was only just enqueued. */
    private void logIfKnown() {
        long step = trainer.stepsDone();
        if (dueStep > loggedStep) {
            logNow();
        }
        if (step == 1 || step % options.bookkeeping().logEvery() == 0 || step == options.steps()) {
            dueStep = step;
            if (trainer.isDone(step)) {
                logNow();
            }
        }
    }

    private void logNow() {
        if (dueStep <= loggedStep) {
            return;
        }
        long step = dueStep;
        float loss = trainer.loss(step);
        float norm = trainer.gradientNorm(step);
        requireFinite("loss", loss, step);
        requireFinite("gradient's norm", norm, step);
        noteBusy();
        long bytesPerStep = trainer.options().bytesPerStep();
        add(new Metric.Step(step, loss, norm, trainer.learningRate(step), step * bytesPerStep,
                Math.round((step - loggedStep) * bytesPerStep * 1e9 / Math.max(1, busyNanos)), Instant.now()));
        busyNanos = 0;
        loggedStep = step;
    }

    /** Waits for the last step and writes the line that is due, before something other than a step begins. */
    private void finishLog() {
        busySince = System.nanoTime();
        if (trainer.stepsDone() > loggedStep) {
            trainer.loss();
            noteBusy();
        }
        logNow();
    }

    private void noteBusy() {
        long now = System.nanoTime();
        busyNanos += now - busySince;
        busySince = now;
    }

    private void requireFinite(String what, float value, long step) {
        if (!Float.isFinite(value)) {
            throw new TrainException("the " + what + " became " + (Float.isNaN(value) ? "NaN" : "infinite") + " at step "
                    + step + whatIsKept() + "; try a smaller --lr, more --warmup, or --clip 1");
        }
    }

    private String whatIsKept() {
        List<Long> steps = folder.steps();
        return steps.isEmpty() ? "" : ", and the run was stopped; the checkpoint of step " + steps.getLast()
                + " in " + folder.path() + " is good";
    }

    private void add(Metric metric) {
        metrics.add(metric);
        listener.metric(metric);
    }

    private void validateIfDue() {
        if (options.bookkeeping().validateEvery() > 0 && trainer.stepsDone() % options.bookkeeping().validateEvery() == 0) {
            validate();
        }
    }

    /** Validates unless that was done after this very step. */
    private void validate() {
        if (validation == null || metrics.lastValidated() == trainer.stepsDone()) {
            return;
        }
        finishLog();
        Optional<Evaluator.Result> result = validation.evaluate(() -> stopRequested);
        if (result.isPresent()) {
            requireFinite("validation loss", (float) result.get().loss(), trainer.stepsDone());
            add(new Metric.Validation(trainer.stepsDone(), result.get().loss(), result.get().targets(), Instant.now()));
        }
    }

    /** Writes a checkpoint unless that was done after this very step. */
    private void save() {
        long step = trainer.stepsDone();
        if (step == lastCheckpoint) {
            return;
        }
        finishLog();
        if (step > 0) {
            requireFinite("loss", trainer.loss(), step);
        }
        if (!trainer.weightsAreFinite()) {
            throw new TrainException("a weight became NaN or infinite at step " + step + whatIsKept()
                    + "; try a smaller --lr, more --warmup, or --clip 1");
        }
        metrics.force();
        ObjectNode trainerJson = description.objectNode();
        trainerJson.put("step", step).put("bytes", step * trainer.options().bytesPerStep());
        trainerJson.setAll(description);
        folder.save(step, Checkpoints.of(trainer, trainerJson), options.bookkeeping().keep());
        lastCheckpoint = step;
        metrics.draw();
        listener.checkpoint(step);
    }

    /** Draws the last picture and closes the files of metrics. */
    @Override
    public void close() {
        metrics.close();
    }
}
