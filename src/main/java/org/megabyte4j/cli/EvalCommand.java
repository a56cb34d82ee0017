package org.megabyte4j.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.data.CorpusPart;
import org.megabyte4j.data.EvaluationWindows;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.data.TrainingData;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.train.DataOptions;
import org.megabyte4j.train.Evaluator;
import org.megabyte4j.train.Recipe;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code megabyte4j eval}: the loss on a whole split, at the training length and beyond it. */
@Command(name = "eval", description = {
    "Prints how well a model predicts each byte of a text, in nats and in bits per byte.",
    "The text is cut into sequences; each begins without context, unless --stride has them overlap. Without --data it"
            + " is what the run held out."})
public final class EvalCommand implements Callable<Integer> {
    private static final int DEFAULT_BATCH = 8;

    /** The parts of a run's data. */
    enum Split {
        VALIDATION, TRAIN;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @picocli.CommandLine.Parameters(paramLabel = "MODEL", description = "A run folder, or a folder or file of a model.")
    private Path model;

    @Mixin
    private CorpusArguments corpus;

    @Option(names = "--split", paramLabel = "PART", description = "Of the data that the run learned from, without"
            + " --data: ${COMPLETION-CANDIDATES}; default validation.")
    private Split split;

    @Option(names = "--batch", paramLabel = "N", defaultValue = "" + DEFAULT_BATCH,
            description = "Sequences at once; default ${DEFAULT-VALUE}.")
    private int batch;

    @Option(names = "--seq-len", paramLabel = "BYTES",
            description = "Bytes in a sequence; default is the length the run was trained with.")
    private Integer length;

    @Option(names = "--stride", paramLabel = "BYTES",
            description = "Let sequences begin so many bytes after each other, a multiple of the patch size, and count"
                    + " in each only the last so many: every byte but the first ones has at least --seq-len less"
                    + " --stride bytes of context. Takes --seq-len / --stride times as long; default is --seq-len, no overlap.")
    private Integer stride;

    @Option(names = "--extrapolate", paramLabel = "FACTORS", split = ",", defaultValue = "1",
            description = "Evaluate at these multiples of the length, such as 1,2,8; default ${DEFAULT-VALUE}.")
    private List<Integer> factors;

    @Option(names = "--max-bytes", paramLabel = "N",
            description = "Evaluate on about so many bytes, spread over the data; default is all.")
    private Long mostBytes;

    @Option(names = "--json", description = "Print a line of JSON for each length.")
    private boolean json;

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
        atLeastOne("--batch", batch);
        factors.forEach(factor -> atLeastOne("--extrapolate", factor));
        if (mostBytes != null) {
            atLeastOne("--max-bytes", mostBytes);
        }
        Optional<Recipe> recipe = Recipe.of(model);
        try (Backend backend = device.open();
                ModelFile file = ModelFile.open(model, LocalHeads.AUTO, this::notice)) {
            int base = length != null ? length
                    : recipe.map(run -> run.options().length())
                            .orElseGet(() -> StepArguments.defaultLength(file.config()));
            factors.forEach(factor -> file.config().checkLength("sequence length", times(base, factor)));
            if (stride != null) {
                file.config().checkMultiple("--stride", stride);
                factors.forEach(factor -> strideWithin(times(base, factor)));
            }
            DType dtype = precision.on(backend);
            if (plan) {
                return printPlan(file.config(), dtype, base, backend);
            }
            try (TrainingData data = open(recipe, file.config()); Parameters parameters = file.load(dtype, backend)) {
                CorpusPart part = corpus.isGiven() || split == Split.TRAIN ? data.train() : data.validation();
                if (!json) {
                    spec.commandLine().getOut().printf("%12s %12s %15s %15s %15s %10s%n", "length", "context", "bytes",
                            "nats per byte", "bits per byte", "KB/s");
                }
                for (int factor : factors) {
                    evaluate(parameters, part, times(base, factor), factor, backend);
                }
            }
        }
        return 0;
    }

    private void evaluate(Parameters parameters, CorpusPart part, int at, int factor, Backend backend) {
        int sequences = Math.max(1, batch / factor);
        try (MemoryPlan memory = new MemoryPlan()) {
            Evaluator evaluator = evaluator(parameters, sequences, at, backend, memory);
            LargestBatch.named("--batch", batch, smaller -> {
                MemoryPlan other = new MemoryPlan();
                evaluator(parameters, Math.max(1, smaller / factor), at, backend, other);
                return other.bytes();
            }, () -> backend.allocate(memory));
            EvaluationWindows windows = EvaluationWindows.sliding(part, sequences, at, stride(at),
                    parameters.config().padId());
            long batches = mostBytes == null ? windows.batches()
                    : Math.clamp(mostBytes / ((long) sequences * stride(at)), 1, windows.batches());
            long start = System.nanoTime();
            Evaluator.Result result;
            try (Steps steps = Steps.start("length " + at, batches)) {
                result = evaluator.evaluate(windows, batches, steps::done).orElseThrow();
            }
            print(at, result, (System.nanoTime() - start) / 1e9);
        }
    }

    private int stride(int at) {
        return stride == null ? at : stride;
    }

    private Evaluator evaluator(Parameters parameters, int sequences, int at, Backend backend, MemoryPlan memory) {
        return Evaluator.sliding(parameters, sequences, at, stride(at), null, backend, memory);
    }

    private void strideWithin(int at) {
        if (stride > at) {
            throw new MegabyteException("--stride " + stride + " would leave bytes out between sequences of " + at
                    + "; use at most " + at);
        }
    }

    private void print(int at, Evaluator.Result result, double seconds) {
        var out = spec.commandLine().getOut();
        double rate = result.targets() / 1e3 / seconds;
        if (json) {
            out.println(JsonNodeFactory.instance.objectNode().put("seq_len", at)
                    .put("context", at - stride(at)).put("bytes", result.targets())
                    .put("loss", result.loss()).put("bits_per_byte", result.bitsPerByte())
                    .put("kb_per_s", Math.round(rate * 10) / 10.0));
        } else {
            out.printf(Locale.ROOT, "%,12d %,12d %,15d %15.4f %15.4f %10.1f%n", at, at - stride(at), result.targets(),
                    result.loss(), result.bitsPerByte(), rate);
        }
        out.flush();
    }

    private int printPlan(MegabyteConfig config, DType dtype, int base, Backend backend) {
        for (int factor : factors) {
            int at = times(base, factor);
            int sequences = Math.max(1, batch / factor);
            try (Parameters parameters = new Parameters(config, dtype); MemoryPlan memory = new MemoryPlan()) {
                evaluator(parameters, sequences, at, backend, memory);
                spec.commandLine().getOut().printf(Locale.ROOT, "%,d sequences of %,d bytes%n", sequences, at);
                PlanReport.print(spec.commandLine().getOut(), dtype, parameters.plan(), memory);
            }
        }
        return 0;
    }

    /** The data given, all of it; or what the run learned from, in its parts. */
    private TrainingData open(Optional<Recipe> recipe, MegabyteConfig config) {
        if (corpus.isGiven()) {
            if (split != null) {
                throw new MegabyteException("--split chooses a part of the run's own data; leave out --split or"
                        + " --data");
            }
            return new DataOptions(corpus.data(List.of()), corpus.globs(List.of()), List.of(), 0, Sampling.RANDOM)
                    .open(corpus.cache(), config.eosId(), bytes -> { });
        }
        Recipe run = recipe.orElseThrow(() -> new MegabyteException(model
                + " does not tell which data it was trained on; use --data FILE_OR_FOLDER"));
        TrainingData data = run.data().open(corpus.cache(), config.eosId(), bytes -> { });
        if (!run.fingerprint().equals(data.fingerprint())) {
            data.close();
            throw new MegabyteException("the data that " + model + " was trained on (" + String.join(", ",
                    run.data().data()) + ") has changed since, so no part of it is sure to be unseen; use --data"
                    + " FILE_OR_FOLDER");
        }
        return data;
    }

    private static int times(int length, int factor) {
        long product = (long) length * factor;
        if (product > Integer.MAX_VALUE) {
            throw new MegabyteException(factor + " times the length " + length + " is more than the "
                    + Integer.MAX_VALUE + " bytes that a sequence can have; use a smaller --extrapolate");
        }
        return (int) product;
    }

    private void atLeastOne(String option, long value) {
        if (value < 1) {
            throw new MegabyteException(option + " " + value + " is not possible; use at least 1");
        }
    }

    private void notice(String sentence) {
        spec.commandLine().getErr().println("Note: " + sentence + ".");
    }
}
