package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.data.BatchSource;
import org.megabyte4j.data.CorpusPart;
import org.megabyte4j.data.EvaluationWindows;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.data.TrainingData;
import org.megabyte4j.model.Initializer;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.Bookkeeping;
import org.megabyte4j.train.DataOptions;
import org.megabyte4j.train.Evaluator;
import org.megabyte4j.train.Recipe;
import org.megabyte4j.train.RunOptions;
import org.megabyte4j.train.TrainException;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;
import org.megabyte4j.train.TrainingRun;
import org.megabyte4j.train.Validation;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code megabyte4j train}: a run from its data to its run folder, or the continuation of one. */
@Command(name = "train", sortOptions = false, description = {
    "Trains a model on files and folders of any bytes.",
    "Ctrl-C writes a checkpoint before it ends; --resume goes on from the newest one, with the same result as if the run"
            + " had never stopped. A resumed run needs no other option: it knows its own."})
public final class TrainCommand implements Callable<Integer> {
    /** What a shell reports for a program that ended with SIGINT. */
    private static final int INTERRUPTED = 130;

    @Mixin
    private DataArguments data;

    @Mixin
    private ModelArguments model;

    @Option(names = "--out", paramLabel = "DIR",
            description = "The run folder; default is a new one in runs, named after the time.")
    private Path out;

    @Option(names = "--resume", description = "Continue the run in --out from its newest checkpoint.")
    private boolean resume;

    @Mixin
    private StepArguments steps;

    @Option(names = "--max-time", paramLabel = "TIME", converter = Durations.class,
            description = "Stop after this time, such as 90s, 2m or 8h.")
    private Duration maxTime;

    @Option(names = "--sampling", paramLabel = "HOW", description = "How batches are drawn: ${COMPLETION-CANDIDATES};"
            + " default random (windows that begin anywhere). Chunks are fixed pieces, each once per epoch.")
    private Sampling sampling;

    @Option(names = "--seed", paramLabel = "SEED",
            description = "Of fresh weights and of the batches; default 1.")
    private Long seed;

    @Mixin
    private BookkeepingArguments bookkeeping;

    @Option(names = "--plan", description = "Print the memory that this would take, and stop.")
    private boolean plan;

    @Mixin
    private PrecisionOptions precision;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        // Pictures are only written to files; with this, AWT needs no display.
        System.setProperty("java.awt.headless", System.getProperty("java.awt.headless", "true"));
        if (resume) {
            return resume();
        }
        MegabyteConfig config = model.config(this::notice);
        TrainOptions options = steps.options(null, config, maxTime != null);
        if (plan) {
            return printPlan(config, options, null, null);
        }
        DataOptions source = data.options(null, sampling);
        RunOptions run = runOptions(options, null);
        Path folder = out != null ? out : Path.of("runs", LocalDateTime.now()
                .format(DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss")));
        requireUnused(folder);
        requireOutside(source, folder);
        try (Backend backend = device.open();
                Session session = new Session(config, precision.on(backend), options, backend);
                TrainingData opened = open(source, config)) {
            Recipe recipe = new Recipe(or(seed, 1L), options, source, run.bookkeeping(), opened.fingerprint(),
                    device.askedFor(null), device(backend), session.parameters.dtype());
            session.prepare(opened, recipe);
            session.allocate(backend);
            try (RunFolder runFolder = RunFolder.create(folder)) {
                if (model.initialModel() == null) {
                    Initializer.initialize(session.parameters, backend, recipe.seed());
                } else {
                    try (ModelFile file = ModelFile.open(model.initialModel(), LocalHeads.AUTO, sentence -> { })) {
                        file.load(session.parameters, backend);
                    }
                }
                return session.train(runFolder, recipe, run);
            }
        }
    }

    private int resume() {
        if (out == null) {
            throw new TrainException("--resume needs the run folder; add --out DIR");
        }
        try (RunFolder folder = RunFolder.open(out)) {
            Checkpoint checkpoint = folder.latest(this::notice).orElseThrow(() -> new TrainException(out
                    + " holds no checkpoint to resume from; start a run there without --resume"));
            Recipe stored = Recipe.read(checkpoint.trainer(), checkpoint.folder());
            MegabyteConfig config = checkpoint.config();
            if (model.isGiven() && (model.initialModel() != null || !model.config(this::notice).equals(config))) {
                throw new TrainException("a resumed run keeps its model; leave --preset, --config, --variant and"
                        + " --init-from out, or start a new run in another --out");
            }
            TrainOptions options = steps.options(stored.options(), config, maxTime != null);
            if (plan) {
                return printPlan(config, options, stored.threads(), stored.dtype());
            }
            try (Backend backend = device.open(stored.threads())) {
                RunOptions run = runOptions(options, stored.bookkeeping());
                Recipe recipe = new Recipe(or(seed, stored.seed()), options, data.options(stored.data(), sampling),
                        run.bookkeeping(), stored.fingerprint(), device.askedFor(stored.threads()),
                        device(backend), precision.on(backend, stored.dtype()));
                stored.requireSame(recipe);
                if (checkpoint.step() >= run.steps()) {
                    throw new TrainException("all " + run.steps() + " steps of " + out + " are done; "
                            + (options.schedule().isExtensible() ? "give more --steps, or start"
                            : "its schedule ends there, so start") + " a new run with --init-from " + out);
                }
                if (!options.recomputation().equals(stored.options().recomputation())) {
                    notice("this run goes on with another --recompute, which adds up in another order and may round"
                            + " differently");
                }
                if (!recipe.device().equals(stored.device())) {
                    notice("this run was computed on \"" + stored.device() + "\" and goes on on \"" + recipe.device()
                            + "\", which may round differently");
                }
                return resume(backend, folder, checkpoint, recipe, run);
            }
        }
    }

    private int resume(Backend backend, RunFolder folder, Checkpoint checkpoint, Recipe recipe, RunOptions run) {
        try (Session session = new Session(checkpoint.config(), recipe.dtype(), recipe.options(), backend);
                TrainingData opened = open(recipe.data(), checkpoint.config())) {
            recipe.requireSameData(opened.fingerprint());
            session.prepare(opened, recipe);
            session.trainer.allocate(session.parameters.plan());
            TrainingRun.restore(session.trainer, checkpoint);
            return session.train(folder, recipe, run);
        }
    }

    private int printPlan(MegabyteConfig config, TrainOptions options, Integer threads, DType dtype) {
        try (Backend backend = device.open(threads);
                Session session = new Session(config, precision.on(backend, dtype), options, backend)) {
            PrintWriter to = spec.commandLine().getOut();
            to.printf(Locale.ROOT, "%-12s %,20d%n", "parameters", session.parameters.layout().parameterCount());
            to.printf(Locale.ROOT, "%-12s %,20d bytes%n", "a step", options.bytesPerStep());
            PlanReport.print(to, session.parameters.dtype(), session.parameters.plan(), session.trainer.memory());
        }
        return 0;
    }

    private RunOptions runOptions(TrainOptions options, Bookkeeping stored) {
        return new RunOptions(options.schedule().steps(), maxTime, bookkeeping.options(stored));
    }

    private TrainingData open(DataOptions options, MegabyteConfig config) {
        return options.open(data.cache(), config.eosId(), bytes -> { });
    }

    private static String device(Backend backend) {
        return backend.name() + ", " + backend.description();
    }

    /** Refuses a folder with files in it, which are somebody's. */
    private static void requireUnused(Path folder) {
        if (Files.isDirectory(folder.resolve("checkpoints"))) {
            return;   // RunFolder says what is to say about a run
        }
        if (Files.isDirectory(folder)) {
            try (Stream<Path> files = Files.list(folder)) {
                List<String> names = files.map(file -> file.getFileName().toString()).sorted().limit(3).toList();
                if (!names.isEmpty()) {
                    throw new TrainException(folder + " is not empty (" + String.join(", ", names)
                            + "); choose another --out for a new run");
                }
            } catch (IOException e) {
                throw new TrainException("the run folder " + folder + " cannot be read: " + e.getMessage(), e);
            }
        }
    }

    /** Refuses a folder whose files would change the data, so that the run could not be resumed. */
    private static void requireOutside(DataOptions data, Path folder) {
        data.folderAround(folder).ifPresent(around -> {
            throw new TrainException("the run folder " + folder + " lies in the data " + around + " and would become a"
                    + " part of it; choose an --out elsewhere, or only some files of the data with --glob");
        });
    }

    private void notice(String sentence) {
        spec.commandLine().getErr().println("Note: " + sentence + ".");
    }

    /** A model with its trainer and evaluator, which share their memory, and the data in its batches. */
    private final class Session implements AutoCloseable {
        private final Parameters parameters;
        private final Trainer trainer;
        private final Evaluator evaluator;
        private final TrainOptions options;
        private BatchSource batches;
        private long longestStretch;    // of the training data, in bytes
        private Validation validation;

        /** Plans everything; takes no memory. */
        Session(MegabyteConfig config, DType dtype, TrainOptions options, Backend backend) {
            this.options = options;
            parameters = new Parameters(config, dtype);
            trainer = Trainer.plan(parameters, options, backend);
            evaluator = new Evaluator(parameters, options.batch(), options.length(),
                    options.recomputation().chunk(), backend, trainer.memory());
        }

        /** Takes the memory of all; a refusal names the batch that would fit. */
        void allocate(Backend backend) {
            String otherwise = (options.recomputation().stacks() == Recomputation.Stacks.ALL ? "" : "--recompute all, ")
                    + "a smaller --seq-len or a smaller model";
            LargestBatch.named("--batch", options.batch(), otherwise, batch -> {
                try (Session other = new Session(parameters.config(), parameters.dtype(), options.withBatch(batch),
                        backend)) {
                    return other.parameters.plan().bytes() + other.trainer.memory().bytes();
                }
            }, () -> trainer.allocate(parameters.plan()));
        }

        void prepare(TrainingData opened, Recipe recipe) {
            int padId = parameters.config().padId();
            batches = recipe.data().sampling().source(opened.train(), options.batch() * options.accumulate(),
                    options.length(), padId, recipe.seed());
            longestStretch = opened.train().longestStretch();
            CorpusPart heldOut = opened.validation();
            if (heldOut.length() > 0) {
                long batchBytes = (long) options.batch() * options.length();
                validation = new Validation(evaluator, EvaluationWindows.blocks(heldOut, options.batch(),
                        options.length(), padId), Math.max(1, recipe.bookkeeping().validationBytes() / batchBytes));
            }
        }

        @SuppressWarnings("try")   // the bar ends before the last line is printed
        int train(RunFolder folder, Recipe recipe, RunOptions run) {
            PrintWriter err = spec.commandLine().getErr();
            if (longestStretch < options.length() && recipe.data().sampling() != Sampling.SEQUENTIAL) {
                notice(String.format(Locale.ROOT, "every sequence is padded, since no stretch of the training data has"
                        + " more than %,d of --seq-len %,d bytes; what is held out cuts the data up, so name other data"
                        + " with --valid-data, hold out nothing with --valid-fraction 0, or use a shorter --seq-len",
                        longestStretch, options.length()));
            }
            err.printf(Locale.ROOT, "Training %s with %,d parameters in %s on %s; %,d bytes per step; run folder %s%n",
                    parameters.config().variant(), parameters.layout().parameterCount(), recipe.dtype().label(),
                    recipe.device(), options.bytesPerStep(), folder.path());
            try (TrainingProgress progress = TrainingProgress.start(err, run, trainer.stepsDone());
                    TrainingRun training = new TrainingRun(trainer, batches, validation, folder, run, recipe.toJson(),
                            progress);
                    Interruption interruption = new Interruption(training::requestStop)) {
                try {
                    TrainingRun.Outcome outcome = training.run();
                    progress.close();
                    err.println(summary(outcome, folder.path()));
                    return outcome == TrainingRun.Outcome.STOPPED ? INTERRUPTED : 0;
                } catch (RuntimeException | Error e) {
                    progress.close();
                    interruption.report(e, err);
                    return INTERRUPTED;
                } finally {
                    err.flush();
                }
            }
        }

        private String summary(TrainingRun.Outcome outcome, Path folder) {
            String steps = trainer.stepsDone() == 1 ? "1 step"
                    : String.format(Locale.ROOT, "%,d steps", trainer.stepsDone());
            return switch (outcome) {
                case FINISHED -> "Done: " + steps + ". The model and its metrics are in " + folder + ".";
                case TIME_IS_UP -> "The time is up after " + steps + ". The model and its metrics are in " + folder
                        + "; --resume goes on.";
                case STOPPED -> "Stopped after " + steps + "; a checkpoint is in " + folder
                        + ". Continue with: megabyte4j train --resume --out " + folder;
            };
        }

        @Override
        public void close() {
            trainer.close();
            parameters.close();
        }
    }
}
