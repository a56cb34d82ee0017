package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.Generation;
import org.megabyte4j.generate.GenerationException;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.GenerationState;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.SamplingOptions;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code megabyte4j generate}: text to standard output as it comes, figures to standard error. */
@Command(name = "generate", description = {
    "Continues a prompt, byte by byte.",
    "The prompt is printed first. Only bytes can be printed, so only bytes and the end-of-text id are chosen unless"
            + " --all-ids is given."})
public final class GenerateCommand implements Callable<Integer> {
    private static final int DEFAULT_BYTES = 256;
    private static final double DEFAULT_TEMPERATURE = 0.8;
    /** So many rows can share one reading of the weights. */
    private static final int SIDE_BY_SIDE = 8;
    /** What a saved generation says. */
    private static final List<String> SAVED_OPTIONS = List.of("--prompt", "--prompt-file", "--greedy", "--temperature",
            "--top-k", "--top-p", "--repetition-penalty", "--seed", "--sequences", "--alignment", "--no-stop",
            "--all-ids", "--scores");

    @CommandLine.Parameters(paramLabel = "MODEL", description = "A run folder, or a folder or file of a model.")
    private Path model;

    @ArgGroup
    private PromptOptions prompt = new PromptOptions();

    @Option(names = {"-n", "--max-bytes"}, paramLabel = "N", description = "How many bytes to generate; default is "
            + DEFAULT_BYTES + ", or as many as the model's T_MAX leaves.")
    private Integer maxBytes;

    @ArgGroup
    private Choice choice = new Choice();

    /** Greedy or not. */
    static final class Choice {
        @Option(names = "--greedy", description = "Always take the likeliest byte.")
        private boolean greedy;

        @Option(names = "--temperature", paramLabel = "T", description = "Below 1 the likely becomes likelier; 0 is"
                + " greedy; default " + DEFAULT_TEMPERATURE + ".")
        private Double temperature;

        private double value() {
            return greedy ? 0 : temperature == null ? DEFAULT_TEMPERATURE : temperature;
        }
    }

    @Option(names = "--top-k", paramLabel = "K", defaultValue = "0",
            description = "Choose among the K likeliest; default is no limit.")
    private int topK;

    @Option(names = "--top-p", paramLabel = "P", defaultValue = "1",
            description = "Choose among the fewest that hold the probability P; default is no limit.")
    private double topP;

    @Option(names = "--repetition-penalty", paramLabel = "X", defaultValue = "1",
            description = "Above 1, bytes that have occurred become less likely; default is none.")
    private double repetitionPenalty;

    @Option(names = "--seed", paramLabel = "SEED",
            description = "The same seed gives the same text; default is a fresh one, which is printed.")
    private Long seed;

    @Option(names = "--sequences", paramLabel = "N", defaultValue = "1",
            description = "How many continuations; default ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--alignment", paramLabel = "WHERE", defaultValue = "aligned", description = {
        "Where patches begin; ${COMPLETION-CANDIDATES}; default ${DEFAULT-VALUE}. Aligned is as in training."
                + " Reference is as the reference's own generate does, which computes everything again for each byte."})
    private Alignment alignment;

    @Option(names = "--no-stop", description = "Go on behind the end-of-text id.")
    private boolean noStop;

    @Option(names = "--all-ids", description = "Choose among all ids, as the reference does; only bytes are printed.")
    private boolean allIds;

    @Option(names = "--scores", description = "Print a table of the generated ids and their log-probabilities in nats.")
    private boolean scores;

    @Option(names = "--save-state", paramLabel = "FILE", description = "Write what it takes to go on from here, at the"
            + " end or at Ctrl-C.")
    private Path saveState;

    @Option(names = "--resume-state", paramLabel = "FILE", description = "Go on where --save-state was, with the same"
            + " result as if the generation had never stopped. The file knows prompt and options; -n is how many bytes"
            + " to add, default what is left of the first -n.")
    private Path resumeState;

    @Option(names = "--plan", description = "Print the memory that this would take, and stop.")
    private boolean plan;

    @Mixin
    private PrecisionOptions precision;

    @Mixin
    private WeightsOptions weights;

    @Mixin
    private DeviceOptions device;

    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        if (sequences < 1) {
            throw new GenerationException("--sequences " + sequences + " is not possible; use at least 1");
        }
        if (resumeState != null) {
            refuseWhatIsSaved();
        }
        if (saveState != null && !plan) {
            GenerationState.requireWritable(saveState);
        }
        byte[] text = prompt.read();
        try (Backend backend = device.open();
                ModelFile file = ModelFile.open(model, LocalHeads.AUTO,
                        notice -> err.println("Note: " + notice + "."));
                GenerationState state = resumeState == null ? null : openState()) {
            GenerationRequest request = state == null ? request(text, file.config()) : state.request();
            request.checkAgainst(file.config());
            DType dtype = precision.on(backend, state == null ? null : state.dtype());
            if (plan) {
                try (Parameters parameters = new Parameters(file.config(), dtype);
                        Generator generator = generator(request, state, backend, parameters)) {
                    PlanReport.print(out, dtype, parameters.plan(), generator.plan());
                }
                return 0;
            }
            try (Parameters parameters = file.load(dtype, backend);
                    Generator generator = generator(request, state, backend, parameters);
                    Generation generation = state == null ? generator.start(request) : generator.resume(state)) {
                run(generation, request);
            }
        }
        return 0;
    }

    private void run(Generation generation, GenerationRequest request) {
        PrintWriter err = spec.commandLine().getErr();
        GenerationPrinter printer = new GenerationPrinter(spec.commandLine().getOut());
        if (saveState == null) {
            printer.run(generation, request);
            err.println(summary(printer, request));
            return;
        }
        try (Interruption interruption = new Interruption(generation::cancel)) {
            try {
                printer.run(generation, request);
                err.println(summary(printer, request));
                generation.save(saveState);
                err.println("saved in " + saveState + "; --resume-state goes on");
            } catch (RuntimeException | Error e) {
                interruption.report(e, err);
            }
        }
    }

    private static String summary(GenerationPrinter printer, GenerationRequest request) {
        SamplingOptions sampling = request.sampling();
        return printer.summary() + (sampling.temperature() == 0 ? "" : "; seed " + sampling.seed());
    }

    private GenerationRequest request(byte[] text, MegabyteConfig config) {
        long usedSeed = seed == null ? ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE) : seed;
        SamplingOptions sampling = new SamplingOptions(choice.value(), topK, topP, repetitionPenalty, usedSeed,
                !allIds);
        return GenerationRequest.of(text, bytes(config, text.length)).repeated(sequences).withSampling(sampling)
                .withStopAtEos(!noStop).withScores(scores);
    }

    private void refuseWhatIsSaved() {
        for (String option : SAVED_OPTIONS) {
            if (spec.commandLine().getParseResult().hasMatchedOption(option)) {
                throw new GenerationException(resumeState + " says what " + option + " says; leave out " + option
                        + ", or --resume-state to begin anew");
            }
        }
    }

    private GenerationState openState() {
        if (maxBytes != null && maxBytes < 1) {
            throw new GenerationException(maxBytes + " new bytes are not possible; use at least 1");
        }
        GenerationState state = GenerationState.open(resumeState);
        int most = state.results().stream().mapToInt(generated -> generated.ids().length).max().orElse(0);
        GenerationState wanted = maxBytes == null ? state
                : state.withNewIds((int) Math.min((long) most + maxBytes, Integer.MAX_VALUE));
        if (wanted.isFinished()) {
            state.close();
            throw new GenerationException(maxBytes != null || most < state.request().newIds()
                    ? resumeState + " has come to its end-of-text id; begin anew, with --no-stop to go on behind it"
                    : resumeState + " has all the " + most + " bytes that were asked for; use -n to ask for more");
        }
        return wanted;
    }

    private int bytes(MegabyteConfig config, int promptLength) {
        if (maxBytes != null) {
            return maxBytes;
        }
        return config.variant() == Variant.IN_ACTION ? DEFAULT_BYTES
                : Math.clamp((long) config.maxLength() - promptLength, 1, DEFAULT_BYTES);
    }

    private Generator generator(GenerationRequest request, GenerationState state, Backend backend,
            Parameters parameters) {
        return state == null
                ? Generator.forRequest(request, backend, parameters, SIDE_BY_SIDE, alignment,
                        weights.or(parameters.dtype()))
                : new Generator(backend, parameters, state.batch(), request.length(), state.alignment(),
                        weights.or(state.weights()));
    }
}
