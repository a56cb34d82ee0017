package org.megabyte4j.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.LocalHeads;
import org.megabyte4j.checkpoint.ModelFile;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.GenerationException;
import org.megabyte4j.generate.GenerationRequest;
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

    @Option(names = "--alignment", paramLabel = "WHERE", defaultValue = "ALIGNED", description = {
        "Where patches begin; ${COMPLETION-CANDIDATES}; default ${DEFAULT-VALUE}. Aligned is as in training."
                + " Reference is as the reference's own generate does, which computes everything again for each byte."})
    private Alignment alignment;

    @Option(names = "--no-stop", description = "Go on behind the end-of-text id.")
    private boolean noStop;

    @Option(names = "--all-ids", description = "Choose among all ids, as the reference does; only bytes are printed.")
    private boolean allIds;

    @Option(names = "--scores", description = "Print a table of the generated ids and their log-probabilities in nats.")
    private boolean scores;

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
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        if (sequences < 1) {
            throw new GenerationException("--sequences " + sequences + " is not possible; use at least 1");
        }
        long usedSeed = seed == null ? ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE) : seed;
        SamplingOptions sampling = new SamplingOptions(choice.value(), topK, topP, repetitionPenalty, usedSeed,
                !allIds);
        byte[] text = prompt.read();
        try (Backend backend = device.open();
                ModelFile file = ModelFile.open(model, LocalHeads.AUTO,
                        notice -> err.println("Note: " + notice + "."))) {
            GenerationRequest request = GenerationRequest.of(text, bytes(file.config(), text.length))
                    .repeated(sequences).withSampling(sampling).withStopAtEos(!noStop).withScores(scores);
            request.checkAgainst(file.config());
            DType dtype = precision.on(backend);
            if (plan) {
                try (Parameters parameters = new Parameters(file.config(), dtype);
                        Generator generator = generator(request, backend, parameters)) {
                    PlanReport.print(out, dtype, parameters.plan(), generator.plan());
                }
                return 0;
            }
            try (Parameters parameters = file.load(dtype, backend);
                    Generator generator = generator(request, backend, parameters)) {
                GenerationPrinter printer = new GenerationPrinter(out, text);
                printer.run(generator, request);
                err.println(printer.summary() + (choice.value() == 0 ? "" : "; seed " + usedSeed));
            }
        }
        return 0;
    }

    private int bytes(MegabyteConfig config, int promptLength) {
        if (maxBytes != null) {
            return maxBytes;
        }
        return config.variant() == Variant.IN_ACTION ? DEFAULT_BYTES
                : Math.clamp((long) config.maxLength() - promptLength, 1, DEFAULT_BYTES);
    }

    private Generator generator(GenerationRequest request, Backend backend, Parameters parameters) {
        return Generator.forRequest(request, backend, parameters, SIDE_BY_SIDE, alignment);
    }
}
