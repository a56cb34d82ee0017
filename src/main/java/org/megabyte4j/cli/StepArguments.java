package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.train.Schedule;
import org.megabyte4j.train.TrainOptions;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What a training step is, and how many there are. */
final class StepArguments {
    private static final int DEFAULT_BATCH = 8;
    private static final int DEFAULT_LENGTH = 1024;
    private static final long DEFAULT_STEPS = 2000;
    private static final long DEFAULT_WARMUP = 100;
    /** Up to so many parameters a model bears the larger of the default learning rates. */
    private static final long SMALL_MODEL = 20_000_000;

    @Option(names = "--batch", paramLabel = "N", description = "Sequences in a batch; default " + DEFAULT_BATCH + ".")
    private Integer batch;

    @Option(names = "--seq-len", paramLabel = "BYTES", description = "Bytes in a sequence, a multiple of the model's patch"
            + " size; default " + DEFAULT_LENGTH + ", or as many as the model can take.")
    private Integer length;

    @Option(names = "--accumulate", paramLabel = "N",
            description = "Batches whose gradients make one step; default 1.")
    private Integer accumulate;

    @Option(names = "--steps", paramLabel = "N", description = "Steps of the whole training; default " + DEFAULT_STEPS
            + ", or no limit where there is a --max-time.")
    private Long steps;

    @Option(names = "--lr", paramLabel = "X", description = "The highest learning rate; default 0.001, and 0.0003 for"
            + " models of more than 20 million parameters. Adafactor chooses its own.")
    private Double learningRate;

    @Option(names = "--schedule", paramLabel = "NAME", description = "The learning rate after the warm-up:"
            + " ${COMPLETION-CANDIDATES}; default cosine, but constant without --steps and with --max-time.")
    private Schedule.Kind schedule;

    @Option(names = "--warmup", paramLabel = "N", description = "Steps in which the learning rate rises; default "
            + DEFAULT_WARMUP + ", or a tenth of the steps.")
    private Long warmup;

    @Option(names = "--clip", paramLabel = "X",
            description = "The largest global norm of the gradients; 0 for any; default 1.")
    private Double clip;

    @Mixin
    private RecomputationArguments recomputation;

    @Mixin
    private OptimizerArguments optimizer;

    /**
     * @param stored  what holds where nothing is said; null for the defaults
     * @param timed   whether a time limit ends the training
     */
    TrainOptions options(TrainOptions stored, MegabyteConfig config, boolean timed) {
        if (stored != null) {
            return new TrainOptions(or(batch, stored.batch()), or(length, stored.length()),
                    or(accumulate, stored.accumulate()), or(clip, stored.clip()), optimizer.options(stored.optimizer()),
                    schedule(stored.schedule()), recomputation.options(stored.recomputation()));
        }
        return new TrainOptions(or(batch, DEFAULT_BATCH), or(length, defaultLength(config)), or(accumulate, 1),
                or(clip, 1.0), optimizer.options(null), freshSchedule(config, timed),
                recomputation.options(Recomputation.NONE));
    }

    private Schedule schedule(Schedule stored) {
        return new Schedule(or(schedule, stored.kind()), or(learningRate, stored.peak()), or(warmup, stored.warmup()),
                or(steps, stored.steps()));
    }

    private Schedule freshSchedule(MegabyteConfig config, boolean timed) {
        long all = or(steps, timed ? Long.MAX_VALUE : DEFAULT_STEPS);
        boolean small = ModelLayout.of(config).parameterCount() <= SMALL_MODEL;
        return new Schedule(or(schedule, all == Long.MAX_VALUE ? Schedule.Kind.CONSTANT : Schedule.Kind.COSINE),
                or(learningRate, small ? 1e-3 : 3e-4), or(warmup, Math.min(DEFAULT_WARMUP, all / 10)), all);
    }

    /** Bytes in a sequence where nothing is said. */
    static int defaultLength(MegabyteConfig config) {
        int longest = config.maxLength() == null ? DEFAULT_LENGTH : Math.min(DEFAULT_LENGTH, config.maxLength());
        return Math.max(1, longest / config.patchSize()) * config.patchSize();
    }
}
