package org.megabyte4j.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.SplittableRandom;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.DryBackend;
import org.megabyte4j.backend.Rates;
import org.megabyte4j.model.Flops;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.train.StepAccount;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;

/**
 * Times training steps as they run in training, or accounts for one operation by operation.
 *
 * @param steps  that are timed
 * @param warmup steps before those
 */
record TrainingBench(TrainOptions options, int steps, int warmup) {
    /** How often every operation of a step is timed; the account with the least time counts. */
    private static final int ACCOUNTS = 3;
    /** Before operations are timed one by one, the program must have been recorded and replayed. */
    private static final int LEAST_WARMUP = 2;

    /** Adds the figures of timed steps. */
    void time(Parameters parameters, Backend backend, ObjectNode report) {
        double[] times;
        long planned;
        try (Trainer trainer = trainer(parameters, backend)) {
            planned = parameters.plan().bytes() + trainer.memory().bytes();
            times = times(trainer, parameters, warmup);
            BenchFigures.putDevice(backend, report);
        }
        double median = BenchFigures.median(times);
        long flops = modelFlops(parameters);
        Recomputation recomputed = options.recomputation();
        report.put("batch", options.batch()).put("seq_len", options.length()).put("clip", options.clip())
                .put("optimizer", options.optimizer().kind().toString())
                .put("recompute", recomputed.stacks().toString())
                .put("keep_attention", recomputed.keepAttention()).put("planned_bytes", planned)
                .set("step_ms", BenchFigures.array(times));
        report.put("median_ms", median)
                .put("kb_per_s", BenchFigures.rounded(options.bytesPerStep() / median))
                .put("flops_per_step", flops).put("gflop_per_s", BenchFigures.rounded(flops / median / 1e6));
        BenchFigures.putUtilisation(backend, parameters.dtype(), 1e3 * flops / median, report);
    }

    /** The account of a plan, without a device. */
    RooflineReport account(Parameters parameters, DryBackend nowhere, Rates rates) {
        try (Trainer trainer = Trainer.plan(parameters, options, nowhere)) {
            return report(trainer.account(), rates, parameters);
        }
    }

    /** The account of a step that runs, and beside it the figures of steps as they run in training. */
    RooflineReport account(Parameters parameters, Backend backend, Rates rates, ObjectNode report) {
        try (Trainer trainer = trainer(parameters, backend)) {
            double[] times = times(trainer, parameters, Math.max(LEAST_WARMUP, warmup));
            List<StepAccount.Call> calls = trainer.timedAccount();
            for (int again = 1; again < ACCOUNTS; again++) {
                List<StepAccount.Call> more = trainer.timedAccount();
                calls = seconds(more) < seconds(calls) ? more : calls;
            }
            BenchFigures.putDevice(backend, report);
            double median = BenchFigures.median(times);
            report.put("median_ms", median).set("step_ms", BenchFigures.array(times));
            BenchFigures.putUtilisation(backend, parameters.dtype(), 1e3 * modelFlops(parameters) / median, report);
            return report(calls, rates, parameters);
        }
    }

    private static double seconds(List<StepAccount.Call> calls) {
        return calls.stream().mapToDouble(StepAccount.Call::seconds).sum();
    }

    private RooflineReport report(List<StepAccount.Call> calls, Rates rates, Parameters parameters) {
        return new RooflineReport(calls, rates, modelFlops(parameters), options.bytesPerStep());
    }

    private long modelFlops(Parameters parameters) {
        return Flops.ofTrainingStep(parameters.config(), options.batch(), options.length());
    }

    /** Milliseconds of each step, on ids that differ from step to step. */
    private double[] times(Trainer trainer, Parameters parameters, int before) {
        SplittableRandom random = new SplittableRandom(BenchFigures.SEED);
        double[] times = new double[steps];
        for (int step = -before; step < steps; step++) {
            int[] ids = BenchFigures.randomIds(random, options.batch() * options.length(), parameters.config());
            long start = System.nanoTime();
            trainer.step(ids);
            trainer.loss();
            if (step >= 0) {
                times[step] = BenchFigures.milliseconds(System.nanoTime() - start);
            }
        }
        return times;
    }

    /** Ready for its first step, or a sentence that names the batch that fits. */
    private Trainer trainer(Parameters parameters, Backend backend) {
        Trainer trainer = Trainer.plan(parameters, options, backend);
        try {
            LargestBatch.named("--batch", options.batch(), smaller -> {
                try (Trainer other = Trainer.plan(parameters, options.withBatch(smaller), backend)) {
                    return other.memory().bytes();
                }
            }, trainer::allocate);
            return trainer;
        } catch (RuntimeException | Error e) {
            trainer.close();
            throw e;
        }
    }
}
