package org.megabyte4j.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.data.BatchSource;
import org.megabyte4j.data.EvaluationWindows;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.data.TrainingData;
import org.megabyte4j.model.Initializer;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

/** A small run with everything that a run has: data, validation, checkpoints, metrics; made anew or continued. */
public final class TestRun {
    public static final int BATCH = 2;
    public static final int LENGTH = 24;
    private static final ObjectMapper JSON = new ObjectMapper();

    private TestRun() {
    }

    /** What a listener may do to a run. */
    record Handle(TrainingRun run, Trainer trainer) {
    }

    public static MegabyteConfig config(Variant variant) {
        return new MegabyteConfig(variant, 260, 3, 4, 8, 48, 1, 2, 1, 2, 0.02, 257, 258);
    }

    /** Words in a random order. */
    public static byte[] text(int words, long seed) {
        String[] all = {"the ", "quick ", "brown ", "fox ", "jumps ", "over ", "lazy ", "dog,\n", "ü€ "};
        StringBuilder text = new StringBuilder();
        new Random(seed).ints(words, 0, all.length).forEach(word -> text.append(all[word]));
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    static DataOptions data(Path file, Sampling sampling) {
        return new DataOptions(List.of(file.toString()), List.of(), List.of(), 0.1, sampling);
    }

    /** Trains in {@code folder}, from its newest checkpoint if it has one. */
    static TrainingRun.Outcome train(Path folder, DataOptions data, TrainOptions options, RunOptions run,
            Consumer<Handle> atEachStep) throws IOException {
        return train(folder, data, options, run, CpuBackend.open(1), DType.F32, atEachStep);
    }

    /** As above on a device, which is closed at the end. */
    static TrainingRun.Outcome train(Path folder, DataOptions data, TrainOptions options, RunOptions run,
            Backend device, DType dtype, Consumer<Handle> atEachStep) throws IOException {
        return train(folder, data, options, run, device, dtype, atEachStep, handle -> { });
    }

    /** As above; {@code withinSteps} is called after each layer. */
    static TrainingRun.Outcome train(Path folder, DataOptions data, TrainOptions options, RunOptions run,
            Backend device, DType dtype, Consumer<Handle> atEachStep, Consumer<Handle> withinSteps)
            throws IOException {
        MegabyteConfig config = config(Variant.IN_ACTION);
        try (Backend backend = device;
                Parameters parameters = new Parameters(config, dtype);
                Trainer trainer = Trainer.plan(parameters, options, backend);
                TrainingData opened = data.open(folder, config.eosId(), bytes -> { });
                RunFolder runFolder = Files.exists(folder) ? RunFolder.open(folder) : RunFolder.create(folder)) {
            Evaluator evaluator = new Evaluator(parameters, BATCH, LENGTH, backend, trainer.memory());
            trainer.allocate(parameters.plan());
            Optional<Checkpoint> newest = runFolder.latest(notice -> { });
            if (newest.isPresent()) {
                TrainingRun.restore(trainer, newest.get());
            } else {
                Initializer.initialize(parameters, backend, 1);
            }
            BatchSource batches = data.sampling().source(opened.train(), BATCH * options.accumulate(), LENGTH,
                    config.padId(), 1);
            EvaluationWindows blocks = EvaluationWindows.blocks(opened.validation(), BATCH, LENGTH, config.padId());
            Handle[] handle = new Handle[1];
            TrainingListener listener = new TrainingListener() {
                @Override
                public void metric(Metric metric) {
                    if (metric instanceof Metric.Step) {
                        atEachStep.accept(handle[0]);
                    }
                }

                @Override
                public void progress(long step, double done) {
                    withinSteps.accept(handle[0]);
                }
            };
            var recipe = new Recipe(1, options, data, run.bookkeeping(), opened.fingerprint(), null, "test", dtype);
            try (TrainingRun training = new TrainingRun(trainer, batches, new Validation(evaluator, blocks, 2),
                    runFolder, run, recipe.toJson(), listener)) {
                handle[0] = new Handle(training, trainer);
                return training.run();
            }
        }
    }

    /** The lines of {@code metrics.jsonl}. */
    public static List<JsonNode> metrics(Path folder) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve("metrics.jsonl"))) {
            lines.add(JSON.readTree(line));
        }
        return lines;
    }

    /** The lines of {@code metrics.jsonl} without what depends on the clock. */
    public static List<JsonNode> timelessMetrics(Path folder) throws IOException {
        List<JsonNode> lines = metrics(folder);
        lines.forEach(line -> ((ObjectNode) line).remove(List.of("time", "bytes_per_second")));
        return lines;
    }

    /** A file of the newest checkpoint. */
    public static byte[] newest(Path folder, String file) {
        try (RunFolder run = RunFolder.open(folder)) {
            return Files.readAllBytes(run.latest(notice -> { }).orElseThrow().folder().resolve(file));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
