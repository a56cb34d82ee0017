package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Flops;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Variant;

class BenchCommandTest {
    private static final MegabyteConfig CONFIG =
            new MegabyteConfig(Variant.MEGABYTE, 300, 4, 6, 10, 48, 2, 2, 2, 2, 0.02, 257, 258);

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @TempDir
    private Path folder;

    private int bench(String... arguments) throws IOException {
        Path config = Files.writeString(folder.resolve("config.json"), ConfigJson.write(CONFIG));
        return Main.run(Stream.concat(Stream.of("bench", "--config", config.toString(), "--threads", "1"),
                Stream.of(arguments)).toArray(String[]::new), new PrintWriter(out, true), new PrintWriter(err, true));
    }

    private JsonNode report(String... arguments) throws IOException {
        assertThat(bench(arguments)).as(err.toString()).isZero();
        return new ObjectMapper().readTree(out.toString());
    }

    @Test
    void figuresOfTrainingFollowFromItsStepTimes() throws IOException {
        JsonNode report = report("--batch", "2", "--seq-len", "24", "--steps", "3", "--warmup", "1", "--json");
        double[] times = new ObjectMapper().convertValue(report.get("step_ms"), double[].class);
        assertThat(times).hasSize(3).doesNotContain(0);
        double median = Stream.of(times[0], times[1], times[2]).sorted().skip(1).findFirst().orElseThrow();
        assertThat(report.get("median_ms").asDouble()).isEqualTo(median);
        assertThat(report.get("kb_per_s").asDouble()).isCloseTo(2 * 24 / median, within(1e-3));
        assertThat(report.get("flops_per_step").asLong()).isEqualTo(Flops.ofTrainingStep(CONFIG, 2, 24));
        assertThat(report.get("gflop_per_s").asDouble())
                .isCloseTo(Flops.ofTrainingStep(CONFIG, 2, 24) / median / 1e6, within(1e-3));
    }

    @Test
    void figuresOfGenerationFollowFromTheTimesOfItsBytes() throws IOException {
        JsonNode report = report("--mode", "generate", "--context", "7", "--new-bytes", "9", "--json");
        double[] times = new ObjectMapper().convertValue(report.get("byte_ms"), double[].class);
        assertThat(times).hasSize(9).doesNotContain(0);
        double sum = 0;
        for (double time : times) {
            sum += time;
        }
        double rate = report.get("bytes_per_s").asDouble();
        assertThat(rate).isCloseTo(9e3 / sum, within(rate / 100));
        assertThat(report.get("first_byte_ms").asDouble()).isPositive();
    }

    /** Without a device, of a model that no machine here could train. */
    @Test
    void theRooflineOfAPlanNeedsNoMemory() throws IOException {
        StringWriter text = new StringWriter();
        int status = Main.run(new String[] {"bench", "--roofline", "--preset", "paper-large", "--batch", "64",
            "--seq-len", "8192", "--dtype", "bf16", "--matrix-tflops", "790", "--bandwidth-gb", "4100", "--json"},
                new PrintWriter(text, true), new PrintWriter(err, true));
        assertThat(status).as(err.toString()).isZero();
        JsonNode report = new ObjectMapper().readTree(text.toString());
        assertThat(report.get("model_flops").asLong())
                .isEqualTo(Flops.ofTrainingStep(Presets.named("paper-large"), 64, 8192));
        assertThat(report.get("total").get("floor_us").asDouble() * 1e-6)
                .isGreaterThan(report.get("total").get("flops").asDouble() / 790e12)
                .isGreaterThan(report.get("total").get("bytes").asDouble() / 4100e9);
        assertThat(report.get("total").has("measured_us")).isFalse();
        for (String figure : new String[] {"flops", "bytes", "calls", "floor_us"}) {
            double sum = 0;
            for (JsonNode row : report.get("operations")) {
                sum += row.get(figure).asDouble();
            }
            assertThat(sum).as(figure).isCloseTo(report.get("total").get(figure).asDouble(), withinPercentage(1e-6));
        }
    }

    @Test
    void theRooflineOfADeviceMeasuresEachOperation() throws IOException {
        assertThat(bench("--roofline", "--batch", "2", "--seq-len", "24", "--steps", "2", "--warmup", "0")).isZero();
        assertThat(out.toString()).containsPattern("(?m)^rates +[0-9.]+ TFLOP/s of products, [0-9,]+ GB/s of copies$")
                .containsPattern("(?m)^global +causalAttention +2 .*(memory|products|both) +[0-9.,]+ +[0-9.]+$")
                .containsPattern("(?m)^total .*[0-9]$").containsPattern("(?m)^measured +[0-9.]+ ms")
                .containsPattern("(?m)^step +[0-9.]+ ms, the median of 2 as they run in training$");
    }

    @Test
    void theRateOfGenerationIsThatOfAllSequencesTogether() throws IOException {
        JsonNode report = report("--mode", "generate", "--context", "7", "--new-bytes", "9", "--batch", "3", "--json");
        double[] times = new ObjectMapper().convertValue(report.get("byte_ms"), double[].class);
        assertThat(times).hasSize(9);
        double rate = report.get("bytes_per_s").asDouble();
        assertThat(rate).isCloseTo(3 * 9e3 / Arrays.stream(times).sum(), within(rate / 100));
        assertThat(report.get("batch").asInt()).isEqualTo(3);
    }

    @Test
    void recomputationIsTimedAndNamed() throws IOException {
        JsonNode report = report("--seq-len", "24", "--steps", "1", "--warmup", "0", "--recompute", "all",
                "--keep-attention", "--chunk", "4", "--json");
        assertThat(report.get("recompute").asText()).isEqualTo("all");
        assertThat(report.get("keep_attention").asBoolean()).isTrue();
        assertThat(report.get("planned_bytes").asLong()).isPositive();
    }

    @Test
    void otherOptimizersAndPatchSizesAreTimedAndNamed() throws IOException {
        JsonNode report = report("--seq-len", "24", "--steps", "1", "--warmup", "0", "--optimizer", "adafactor",
                "--patch-size", "8", "--json");
        assertThat(report.get("optimizer").asText()).isEqualTo("adafactor");
        assertThat(report.get("patch_size").asInt()).isEqualTo(8);
        assertThat(report.get("flops_per_step").asLong())
                .isEqualTo(Flops.ofTrainingStep(CONFIG.withPatchSize(8), 1, 24));
        assertThat(CONFIG.withPatchSize(8).globalSize()).isEqualTo(CONFIG.globalSize());
    }

    @Test
    void generationIsTimedWithWeightsInBf16Too() throws IOException {
        JsonNode report = report("--mode", "generate", "--context", "7", "--new-bytes", "9", "--json", "--weights",
                "bf16");
        assertThat(report.get("weights").asText()).isEqualTo("bf16");
        assertThat(report.get("dtype").asText()).isEqualTo("float32");
    }

    @Test
    void withoutJsonEachFigureIsALine() throws IOException {
        assertThat(bench("--seq-len", "24", "--steps", "1", "--warmup", "0", "--variant", "megabyte_in_action"))
                .isZero();
        assertThat(out.toString()).containsPattern("(?m)^variant +megabyte_in_action$")
                .containsPattern("(?m)^median_ms +[0-9.]+$").doesNotContain("step_ms");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --steps 0                             | --steps 0 is not possible; use at least 1
            --mode generate --new-bytes 0         | --new-bytes 0 is not possible; use at least 1
            --warmup -1                           | --warmup -1 is not possible; use at least 0
            --batch 0 --seq-len 24                | --batch 0 is not possible; use at least 1
            --seq-len 23                          | --seq-len 23 is not a multiple of the patch size 4
            --mode generate                       | is longer than the 48 positions (T_MAX)
            --roofline --mode generate            | --roofline accounts for training steps, not for --mode generate
            --card h200                           | are for --roofline; add that, or leave them out
            --mode generate --batch 0             | --batch 0 is not possible; use at least 1
            --mode generate --context 2147483647  | --context 2147483647 with --new-bytes 256 is more than
            --roofline --bandwidth-gb 3           | go together, or name a --card
            --roofline --card h200 --matrix-tflops 0 | --matrix-tflops 0.0 is not possible; use a number from
            --roofline --card h200 --bandwidth-gb Infinity | --bandwidth-gb Infinity is not possible; use a number
            --weights bf16                        | --weights is for --mode generate
            --roofline --card gtx                 | invalid value for option '--card'
            --tune sometimes                      | unknown tuning sometimes; --tune takes on, off, again
            --patch-size 5                        | does not divide the global width P * D_G = 24; use 4
            --optimizer sgd                       | invalid value for option '--optimizer'
            --mode learn                          | invalid value for option '--mode'
            --preset tiny                         | mutually exclusive
            """)
    void whatCannotBeTimedGetsASentence(String arguments, String sentence) throws IOException {
        assertThat(bench(arguments.split(" "))).isNotZero();
        assertThat(err.toString()).contains(sentence).doesNotContain("\tat ");
        assertThat(out.toString()).isEmpty();
    }
}
