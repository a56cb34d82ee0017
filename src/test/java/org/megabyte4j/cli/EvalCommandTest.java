package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.Variant;
import org.megabyte4j.train.TestRun;

class EvalCommandTest {
    private static final int V = TestRun.config(Variant.IN_ACTION).vocabularySize();

    /** With the file {@code text}, and runs on it in {@code alibi} and {@code learned}. */
    @TempDir
    static Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void trainOnce() throws IOException {
        Files.write(folder.resolve("text"), TestRun.text(300, 1));
        train("alibi", Variant.IN_ACTION);
        train("learned", Variant.MEGABYTE);
    }

    private static void train(String name, Variant variant) throws IOException {
        Files.writeString(folder.resolve(name + ".json"), ConfigJson.write(TestRun.config(variant)));
        var once = new EvalCommandTest();
        assertThat(once.run("train --data @text --config @" + name + ".json --out @" + name
                + " --steps 4 --batch 2 --seq-len 24 --threads 1")).as(once.err.toString()).isZero();
    }

    /** Runs a line in which {@code @name} is a file of the test's folder. */
    private int run(String line) {
        String[] arguments = Stream.of(line.split(" "))
                .map(word -> word.startsWith("@") ? folder.resolve(word.substring(1)).toString() : word)
                .toArray(String[]::new);
        return Main.run(arguments, new PrintWriter(out, true), new PrintWriter(err, true));
    }

    private List<JsonNode> evaluated(String line) {
        assertThat(run("eval --json --threads 1 " + line)).as(err.toString()).isZero();
        ObjectMapper json = new ObjectMapper();
        return out.toString().lines().map(text -> {
            try {
                return json.readTree(text);
            } catch (IOException e) {
                throw new AssertionError(text, e);
            }
        }).toList();
    }

    /** Nats per byte of a text in sequences of a length, in double precision. */
    private static double mean(byte[] text, int length) {
        double sum = 0;
        try (ReferenceBackend exact = new ReferenceBackend();
                Parameters parameters = ModelFiles.load(folder.resolve("alibi"), exact, notice -> { });
                RunnableGraph graph = RunnableGraph.evaluation(exact, parameters, 1, length)) {
            for (int start = 0; start < text.length; start += length) {
                int[] ids = new int[length];
                int count = Math.min(length, text.length - start);
                for (int t = 0; t < count; t++) {
                    ids[t] = text[start + t] & 255;
                }
                float[] logits = graph.logits(ids);
                for (int t = 0; t < count; t++) {
                    double exponentials = 0;
                    for (int id = 0; id < V; id++) {
                        exponentials += Math.exp(logits[t * V + id]);
                    }
                    sum += Math.log(exponentials) - logits[t * V + ids[t]];
                }
            }
        }
        return sum / text.length;
    }

    @Test
    void theWholeTextIsPredictedAtEachMultipleOfTheTrainingLength() throws IOException {
        byte[] text = TestRun.text(60, 5);
        Files.write(folder.resolve("unseen"), text);
        List<JsonNode> lines = evaluated("@alibi --data @unseen --extrapolate 1,2,8");
        assertThat(lines).extracting(line -> line.get("seq_len").asInt()).containsExactly(24, 48, 192);
        for (JsonNode line : lines) {
            double expected = mean(text, line.get("seq_len").asInt());
            assertThat(line.get("loss").asDouble()).isCloseTo(expected, within(2e-6 * expected));
            assertThat(line.get("bits_per_byte").asDouble()).isCloseTo(expected / Math.log(2), within(1e-5));
            assertThat(line.get("bytes").asLong()).isEqualTo(text.length);
        }
    }

    /** Each byte once, in the window that ends with it or begins the text, by hand. */
    @Test
    void withAStrideEachByteHasAtLeastSoMuchContext() throws IOException {
        byte[] text = TestRun.text(70, 5);
        Files.write(folder.resolve("unseen"), text);
        JsonNode line = evaluated("@alibi --data @unseen --stride 9").getFirst();
        double expected = slidingMean(text, 24, 9);
        assertThat(line.get("context").asInt()).isEqualTo(15);
        assertThat(line.get("bytes").asLong()).isEqualTo(text.length);
        assertThat(line.get("loss").asDouble()).isCloseTo(expected, within(2e-6 * expected));
        out.getBuffer().setLength(0);
        assertThat(evaluated("@alibi --data @unseen --stride 24").getFirst().get("loss"))
                .isEqualTo(evaluated("@alibi --data @unseen").getFirst().get("loss"));
    }

    private static double slidingMean(byte[] text, int length, int stride) {
        double sum = 0;
        try (ReferenceBackend exact = new ReferenceBackend();
                Parameters parameters = ModelFiles.load(folder.resolve("alibi"), exact, notice -> { });
                RunnableGraph graph = RunnableGraph.evaluation(exact, parameters, 1, length)) {
            for (int t = 0; t < text.length; t++) {
                int start = 0;
                while (t - start >= length) {
                    start += stride;
                }
                int[] ids = new int[length];
                for (int i = start; i < Math.min(text.length, start + length); i++) {
                    ids[i - start] = text[i] & 255;
                }
                float[] logits = graph.logits(ids);
                double exponentials = 0;
                for (int id = 0; id < V; id++) {
                    exponentials += Math.exp(logits[(t - start) * V + id]);
                }
                sum += Math.log(exponentials) - logits[(t - start) * V + (text[t] & 255)];
            }
        }
        return sum / text.length;
    }

    @Test
    void withoutDataItIsThePartThatTheRunHeldOutOrLearnedFrom() throws IOException {
        long all = Files.size(folder.resolve("text"));
        long heldOut = evaluated("@alibi").getFirst().get("bytes").asLong();
        out.getBuffer().setLength(0);
        long learned = evaluated("@alibi --split train").getFirst().get("bytes").asLong();
        assertThat(heldOut + learned).isEqualTo(all);
        assertThat((double) heldOut / all).isCloseTo(0.05, within(0.01));
    }

    @Test
    void aTableSaysTheSame() {
        double loss = evaluated("@alibi").getFirst().get("loss").asDouble();
        out.getBuffer().setLength(0);
        assertThat(run("eval @alibi --threads 1")).isZero();
        assertThat(out.toString().lines().toList()).hasSize(2).element(0).asString().contains("length", "context", "bytes",
                "nats per byte", "bits per byte", "KB/s");
        assertThat(out.toString().lines().toList().get(1).strip().split(" +")[3]).isEqualTo(String.format(
                java.util.Locale.ROOT, "%.4f", loss));
    }

    @Test
    void aPlanTakesNoMemoryAndNoData() {
        assertThat(run("eval @alibi --plan --extrapolate 2")).isZero();
        assertThat(out.toString()).startsWith("4 sequences of 48 bytes").contains("parameters", "workspace");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            @nothing --data @text        | @nothing does not exist
            @alibi --data @missing       | there is no file or folder @missing; check the path
            @alibi --batch 0             | --batch 0 is not possible; use at least 1
            @alibi --extrapolate 0       | --extrapolate 0 is not possible; use at least 1
            @alibi --extrapolate 99999999 | 99999999 times the length 24 is more than the 2147483647 bytes that a \
            sequence can have; use a smaller --extrapolate
            @alibi --max-bytes 0         | --max-bytes 0 is not possible; use at least 1
            @alibi --data @text --split train | --split chooses a part of the run's own data; leave out --split or --data
            @alibi/model.safetensors     | @alibi/model.safetensors does not tell which data it was trained on; use \
            --data FILE_OR_FOLDER
            @learned --extrapolate 1,8   | sequence length 192 is longer than the 48 positions (T_MAX) that this model \
            learned; use at most 48, or the variant megabyte_in_action
            @alibi --dtype bf16          | the device cpu cannot compute in bf16; use --dtype float32, or --device cuda
            @alibi --stride 10           | --stride 10 is not a multiple of the patch size 3; use 12
            @alibi --stride 0            | --stride 0 is not a multiple of the patch size 3; use 3
            @alibi --stride 27           | --stride 27 would leave bytes out between sequences of 24; use at most 24
            @alibi --seq-len 23          | sequence length 23 is not a multiple of the patch size 3; use 24
            """)
    void whatCannotBeEvaluatedGetsASentence(String line, String sentence) {
        assertThat(run("eval --json " + line)).isEqualTo(1);
        assertThat(err.toString().lines()).containsExactly("megabyte4j: " + sentence.replace("@", folder + "/"));
        assertThat(out.toString()).isEmpty();
    }

    @Test
    void dataThatHasChangedIsNotTakenForUnseen() throws IOException {
        Files.write(folder.resolve("text2"), TestRun.text(300, 3));
        assertThat(run("train --data @text2 --config @alibi.json --out @changed --steps 2 --batch 2 --seq-len 24"
                + " --threads 1")).isZero();
        Files.write(folder.resolve("text2"), TestRun.text(300, 4));
        err.getBuffer().setLength(0);
        assertThat(run("eval @changed")).isEqualTo(1);
        assertThat(err.toString()).contains(" has changed since, so no part of it is sure to be unseen; use --data");
    }
}
