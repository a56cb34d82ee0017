package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.Generated;
import org.megabyte4j.generate.Generation;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.SamplingOptions;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;

class GenerateCommandTest {
    private static final String PROMPT = "Grüße";

    @TempDir
    static Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void writeModels() {
        for (Variant variant : Variant.values()) {
            MegabyteConfig config = new MegabyteConfig(variant, 300, 4, 6, 10, 48, 2, 2, 2, 2, 0.02, 257, 258);
            try (CpuBackend backend = CpuBackend.open(1);
                    Parameters parameters = TestModels.random(config, backend, 1)) {
                ModelFiles.save(model(variant), parameters, backend);
            }
        }
    }

    private static Path model(Variant variant) {
        return folder.resolve(variant.id());
    }

    private int generate(Object... arguments) {
        return generate(new PrintWriter(out, true), arguments);
    }

    private int generate(PrintWriter writer, Object... arguments) {
        Stream<String> texts = Stream.of(arguments).map(Object::toString);
        return Main.run(Stream.concat(Stream.of("generate"), texts).toArray(String[]::new), writer,
                new PrintWriter(err, true));
    }

    /** What the library generates. */
    private static List<Generated> expected(Variant variant, int bytes, int sequences, SamplingOptions sampling,
            Alignment alignment) {
        GenerationRequest request = GenerationRequest.of(PROMPT, bytes).repeated(sequences).withSampling(sampling)
                .withScores(true);
        try (CpuBackend backend = CpuBackend.open(1);
                Parameters parameters = ModelFiles.load(model(variant), backend, notice -> { });
                Generator generator = Generator.forRequest(request, backend, parameters, 8, alignment)) {
            return generator.generate(request);
        }
    }

    @Test
    void printsThePromptAndWhatFollows() {
        for (Alignment alignment : Alignment.values()) {
            out.getBuffer().setLength(0);
            String text = expected(Variant.IN_ACTION, 30, 1, SamplingOptions.greedy().withBytesOnly(true), alignment)
                    .getFirst().text();
            assertThat(generate(model(Variant.IN_ACTION), "--prompt", PROMPT, "-n", 30, "--greedy", "--threads", 1,
                    "--alignment", alignment)).as(err.toString()).isZero();
            assertThat(out.toString()).isEqualTo(PROMPT + text + System.lineSeparator());
        }
        assertThat(err.toString()).matches("(?s)30 bytes, the first after \\d+\\.\\d\\d s, then \\d+ bytes/s\\R.*");
    }

    @Test
    void optionsReachTheSampler() {
        SamplingOptions options = new SamplingOptions(1.5, 40, 0.9, 1.2, 77, false);
        List<Generated> expected = expected(Variant.MEGABYTE, 20, 3, options, Alignment.ALIGNED);
        assertThat(generate(model(Variant.MEGABYTE), "--prompt", PROMPT, "-n", 20, "--temperature", 1.5, "--top-k", 40,
                "--top-p", 0.9, "--repetition-penalty", 1.2, "--seed", 77, "--sequences", 3, "--all-ids",
                "--threads", 1))
                .as(err.toString()).isZero();
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 3; i++) {
            text.append("--- ").append(i + 1).append(" of 3 ---\n").append(PROMPT)
                    .append(expected.get(i).text()).append('\n');
        }
        assertThat(out.toString().replace(System.lineSeparator(), "\n")).isEqualTo(text.toString());
        assertThat(err.toString().strip()).endsWith("; seed 77");
    }

    @Test
    void aFreshSeedIsPrintedAndGivesTheSameTextAgain() {
        assertThat(generate(model(Variant.IN_ACTION), "-n", 20)).isZero();
        String text = out.toString();
        String seed = err.toString().strip().replaceAll(".* ", "");
        out.getBuffer().setLength(0);
        assertThat(generate(model(Variant.IN_ACTION), "-n", 20, "--seed", seed)).isZero();
        assertThat(out.toString()).isEqualTo(text);
    }

    @Test
    void thePromptCanBeAFileOfAnyBytes() throws IOException {
        Path file = Files.write(folder.resolve("prompt"), new byte[] {'a', (byte) 0xC3, 'b'});
        assertThat(generate(model(Variant.IN_ACTION), "--prompt-file", file, "-n", 1)).isZero();
        assertThat(out.toString()).startsWith("a\uFFFDb");
    }

    @Test
    void scoresStandBehindTheText() {
        var sampling = SamplingOptions.greedy().withBytesOnly(true);
        Generated expected = expected(Variant.IN_ACTION, 3, 1, sampling, Alignment.ALIGNED).getFirst();
        assertThat(generate(model(Variant.IN_ACTION), "--prompt", PROMPT, "-n", 3, "--greedy", "--scores",
                "--threads", 1))
                .isZero();
        List<String> lines = out.toString().lines().toList();
        int header = lines.indexOf("id\tbyte\tlog-probability\ttop logit\tlead");
        assertThat(lines.subList(header + 1, lines.size())).hasSize(3);
        for (int i = 0; i < 3; i++) {
            String[] columns = lines.get(header + 1 + i).split("\t");
            assertThat(Integer.parseInt(columns[0])).isEqualTo(expected.ids()[i]);
            assertThat(columns[2]).isEqualTo(String.format(Locale.ROOT, "%.4f",
                    expected.scores().get(i).logProbability()));
        }
    }

    @Test
    void thePlanIsPrintedInsteadOfText() {
        assertThat(generate(model(Variant.IN_ACTION), "--plan")).isZero();
        assertThat(out.toString().lines().map(line -> line.replaceAll(" .*", "")).toList())
                .containsExactly("dtype", "parameters", "activations", "cache", "workspace", "inputs", "total");
        List<Long> bytes = out.toString().lines().skip(1).map(line -> line.replaceAll(" bytes.*|\\D", ""))
                .map(Long::valueOf).toList();
        assertThat(bytes.getLast()).isEqualTo(bytes.subList(0, 5).stream().mapToLong(v -> v).sum());
        assertThat(err.toString()).isEmpty();
    }

    /** Whatever is said again is refused; what was asked for once is known. */
    @Test
    void aSavedGenerationGoesOnAsIfItHadNeverStopped() {
        Path model = model(Variant.IN_ACTION);
        Path file = folder.resolve("story.state");
        assertThat(generate(model, "--prompt", PROMPT, "-n", 40, "--seed", 5, "--scores", "--no-stop", "--threads", 1))
                .isZero();
        String whole = out.toString();
        out.getBuffer().setLength(0);
        assertThat(generate(model, "--prompt", PROMPT, "-n", 11, "--seed", 5, "--scores", "--no-stop", "--threads", 1,
                "--save-state", file)).isZero();
        assertThat(err.toString()).contains("; seed 5", "saved in " + file + "; --resume-state goes on");
        assertRefused(file + " has all the 11 bytes that were asked for; use -n to ask for more", model,
                "--resume-state", file);
        for (int more : new int[] {9, 20}) {
            out.getBuffer().setLength(0);
            assertThat(generate(model, "--resume-state", file, "-n", more, "--save-state", file, "--threads", 1))
                    .as(err.toString()).isZero();
        }
        assertThat(out.toString()).isEqualTo(whole);
        assertRefused(file + " says what --top-k says; leave out --top-k, or --resume-state to begin anew", model,
                "--resume-state", file, "--top-k", 3);
        assertRefused("0 new bytes are not possible; use at least 1", model, "--resume-state", file, "-n", 0);
        assertRefused(file + " was generated with a model with variant megabyte_in_action, but here it is megabyte; use"
                + " the same model", model(Variant.MEGABYTE), "--resume-state", file, "-n", 1);
        assertRefused(file + " was generated with weights in float32, but here it is bf16; use --weights float32",
                model, "--resume-state", file, "-n", 1, "--weights", "bf16");
    }

    @Test
    void weightsCanBeReadInBf16() {
        assertThat(generate(model(Variant.IN_ACTION), "--prompt", PROMPT, "-n", 30, "--greedy", "--threads", 1,
                "--weights", "bf16")).as(err.toString()).isZero();
        assertThat(out.toString()).startsWith(PROMPT);
        assertRefused("weights in bf16 are not possible with the alignment reference; use the alignment aligned, or"
                + " weights in float32", model(Variant.IN_ACTION), "--weights", "bf16", "--alignment", "reference");
    }

    @Test
    void withoutANumberOfBytesTheLearnedPositionsAreTheLimit() {
        assertThat(generate(model(Variant.MEGABYTE), "--prompt", "x".repeat(40), "--no-stop"))
                .as(err.toString()).isZero();
        assertThat(err.toString()).startsWith("8 bytes, the first after ");
    }

    @Test
    void whatCannotBeDoneIsASentence() throws IOException {
        Path model = model(Variant.MEGABYTE);
        Path missing = folder.resolve("nothing");
        assertRefused("there is no prompt file " + missing, model, "--prompt-file", missing);
        assertRefused("the prompt file " + folder + " cannot be read: it is a folder", model, "--prompt-file", folder);
        assertRefused(missing + " does not exist", missing);
        assertRefused("--sequences 0 is not possible; use at least 1", model, "--sequences", 0);
        assertRefused("0 new bytes are not possible; use at least 1", model, "-n", 0);
        assertRefused("temperature -1.0 is not possible; use 0 for greedy choice, or a positive number such as 0.8",
                model, "--temperature", -1);
        assertRefused("top-p 2.0 is not possible; use a number above 0, and at most 1 for no limit", model,
                "--top-p", 2);
        assertRefused("a prompt of 48 bytes leaves no room for new ones in the 48 positions (T_MAX) that this model"
                + " learned; shorten it to at most 47 bytes, or use a model of the variant megabyte_in_action", model,
                "--prompt", "x".repeat(48));
        assertRefused("a prompt of 40 bytes and 9 new ones need 49 positions, more than the 48 (T_MAX) that this model"
                + " learned; use at most 8 new bytes, or a model of the variant megabyte_in_action", model,
                "--prompt", "x".repeat(40), "-n", 9);
        assertThat(out.toString()).isEmpty();
    }

    private void assertRefused(String message, Object... arguments) {
        err.getBuffer().setLength(0);
        assertThat(generate(arguments)).isEqualTo(1);
        assertThat(err.toString().lines()).containsExactly("megabyte4j: " + message);
    }

    @Test
    void optionsThatContradictEachOtherAreRefused() {
        Path model = model(Variant.MEGABYTE);
        assertWrongUsage("--greedy, --temperature=T are mutually exclusive (specify only one)", model, "--greedy",
                "--temperature", 1);
        assertWrongUsage("--prompt=TEXT, --prompt-file=FILE are mutually exclusive (specify only one)", model,
                "--prompt", "x", "--prompt-file", "y");
        assertWrongUsage("missing required parameter: 'MODEL'");
        assertWrongUsage("unknown option --topp; did you mean --top-p?", model, "--topp", 1);
    }

    private void assertWrongUsage(String message, Object... arguments) {
        err.getBuffer().setLength(0);
        assertThat(generate(arguments)).isEqualTo(2);
        assertThat(err.toString().lines()).containsExactly("megabyte4j generate: " + message,
                "Try megabyte4j generate --help.");
    }

    @Test
    void aStateThatCannotBeSavedIsRefusedBeforeItIsMissed() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");
        Path model = model(Variant.IN_ACTION);
        assertRefused(folder + " cannot be written: it is a folder; name a file", model, "--save-state", folder);
        assertRefused(file.resolve("state") + " cannot be written: " + file + " is in the way", model, "--save-state",
                file.resolve("state"));
        assertThat(out.toString()).isEmpty();
        assertThat(file).hasContent("x");
    }

    /** Nine sequences are two groups; the first has ended when the second is cancelled. */
    @Test
    void theRestOfSeveralSequencesIsGoneOnWith() {
        Path file = folder.resolve("groups");
        GenerationRequest request = GenerationRequest.of(PROMPT, 5).repeated(9).withStopAtEos(false);
        try (CpuBackend backend = CpuBackend.open(1);
                Parameters parameters = ModelFiles.load(model(Variant.IN_ACTION), backend, notice -> { });
                Generator generator = Generator.forRequest(request, backend, parameters, 8, Alignment.ALIGNED);
                Generation generation = generator.start(request)) {
            for (int i = 0; i < 8 * 5 + 2; i++) {
                generation.next();
            }
            generation.save(file);
        }
        assertThat(generate(model(Variant.IN_ACTION), "--resume-state", file, "--save-state", file))
                .as(err.toString()).isZero();
        assertThat(err.toString()).startsWith("3 bytes, ");
        assertRefused(file + " has all the 5 bytes that were asked for; use -n to ask for more",
                model(Variant.IN_ACTION), "--resume-state", file);
    }

    @Test
    void whatTheModelHasEndedIsNotGoneOnWith() {
        Path model = folder.resolve("ends");
        Path file = folder.resolve("ended");
        MegabyteConfig config = new MegabyteConfig(Variant.IN_ACTION, 300, 4, 6, 10, 48, 2, 2, 2, 2, 0.02, 257, 258);
        try (CpuBackend backend = CpuBackend.open(1); Parameters parameters = TestModels.random(config, backend, 1)) {
            float[] bias = new float[300];
            bias[258] = 1000;
            backend.write(parameters.get("to_logits.bias"), bias);
            ModelFiles.save(model, parameters, backend);
        }
        assertThat(generate(model, "--save-state", file)).as(err.toString()).isZero();
        String sentence = file + " has come to its end-of-text id; begin anew, with --no-stop to go on behind it";
        assertRefused(sentence, model, "--resume-state", file);
        assertRefused(sentence, model, "--resume-state", file, "-n", 3);
    }

    @Test
    void generationEndsWhenTheReaderHasGoneAndCanBeGoneOnWith() {
        Path file = folder.resolve("unread");
        PrintWriter closed = new PrintWriter(new Writer() {
            private int writes;

            @Override
            public void write(char[] text, int from, int count) throws IOException {
                if (++writes > 5) {
                    throw new IOException("Broken pipe");
                }
            }

            @Override
            public void flush() {
            }

            @Override
            public void close() {
            }
        });
        generate(closed, model(Variant.IN_ACTION), "-n", 1000, "--no-stop", "--save-state", file);
        assertThat(err.toString().lines().findFirst().orElseThrow()).matches("\\d bytes, .*");
        assertThat(generate(model(Variant.IN_ACTION), "--resume-state", file, "-n", 3)).as(err.toString()).isZero();
    }

    @Test
    void bytesBecomeCharactersWhenTheyAreComplete() {
        PrintWriter writer = new PrintWriter(out);
        Utf8Printer printer = new Utf8Printer(writer);
        StringBuilder seen = new StringBuilder();
        for (byte value : "aü€😀".getBytes(StandardCharsets.UTF_8)) {
            printer.print(value);
            printer.flush();
            seen.append(out.toString().codePointCount(0, out.toString().length()));
        }
        assertThat(seen.toString()).isEqualTo("1122233334");
        printer.print((byte) 0xFF, (byte) 0xE2, (byte) 0x82);
        printer.finish();
        assertThat(out.toString()).isEqualTo("aü€😀\uFFFD\uFFFD");
    }
}
