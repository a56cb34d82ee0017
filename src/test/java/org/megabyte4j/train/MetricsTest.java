package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.data.Sampling;

/** What a run tells about itself: metrics.jsonl, TensorBoard's events, loss.png. */
class MetricsTest {
    private static final long STEPS = 7;
    private static final Instant TIME = Instant.parse("2026-01-02T03:04:05.678Z");

    @TempDir
    static Path folder;

    private static Path out;
    private static Instant start;

    /** A run of two processes, of which the first fails between two checkpoints. */
    @BeforeAll
    static void train() throws IOException {
        out = folder.resolve("run");
        start = Instant.now();
        DataOptions data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(300, 1)), Sampling.RANDOM);
        TrainOptions options = new TrainOptions(TestRun.BATCH, TestRun.LENGTH, 3, 1, OptimizerOptions.adamW(),
                new Schedule(Schedule.Kind.LINEAR, 1e-2, 2, STEPS));
        RunOptions run = new RunOptions(STEPS, null, new Bookkeeping(1, 3, 2, 2, 96));
        try {
            TestRun.train(out, data, options, run, handle -> {
                if (handle.trainer().stepsDone() == 5) {
                    throw new IllegalStateException("as planned");
                }
            });
        } catch (IllegalStateException e) {
            assertThat(e).hasMessage("as planned");
        }
        TestRun.train(out, data, options, run, handle -> { });
    }

    @Test
    void aStepsLineHoldsItsFigures() throws IOException {
        List<JsonNode> steps = TestRun.metrics(out).stream().filter(line -> line.has("loss")).toList();
        double[] rates = {0.005, 0.01, 0.01, 0.008, 0.006, 0.004, 0.002};
        assertThat(steps).hasSize((int) STEPS);
        for (int i = 0; i < STEPS; i++) {
            JsonNode line = steps.get(i);
            assertThat(names(line)).containsExactly("step", "loss", "bits_per_byte", "gradient_norm", "learning_rate",
                    "bytes", "bytes_per_second", "time");
            assertThat(line.get("step").asLong()).isEqualTo(i + 1);
            assertThat(line.get("loss").asDouble()).isBetween(2.0, 6.0);
            assertThat(line.get("bits_per_byte").asDouble())
                    .isCloseTo(line.get("loss").asDouble() / Math.log(2), within(1e-5));
            assertThat(line.get("gradient_norm").asDouble()).isPositive();
            assertThat(line.get("learning_rate").asDouble()).isCloseTo(rates[i], within(1e-8));
            assertThat(line.get("bytes").asLong()).isEqualTo((i + 1) * 3L * TestRun.BATCH * TestRun.LENGTH);
            assertThat(line.get("bytes_per_second").asLong()).isPositive();
            assertThat(Instant.parse(line.get("time").asText())).isBetween(start.minusMillis(1), Instant.now());
        }
    }

    @Test
    void aValidationsLineHoldsItsFigures() throws IOException {
        List<JsonNode> validations = TestRun.metrics(out).stream().filter(line -> !line.has("loss")).toList();
        assertThat(validations).extracting(line -> line.get("step").asLong()).containsExactly(2L, 4L, 6L, 7L);
        for (JsonNode line : validations) {
            assertThat(names(line)).containsExactly("step", "valid_loss", "valid_bits_per_byte", "valid_bytes", "time");
            assertThat(line.get("valid_loss").asDouble()).isBetween(2.0, 6.0);
            assertThat(line.get("valid_bits_per_byte").asDouble())
                    .isCloseTo(line.get("valid_loss").asDouble() / Math.log(2), within(1e-9));
            assertThat(line.get("valid_bytes").asLong()).isBetween(1L, 2L * TestRun.BATCH * TestRun.LENGTH);
        }
    }

    private static List<String> names(JsonNode line) {
        List<String> names = new ArrayList<>();
        line.fieldNames().forEachRemaining(names::add);
        return names;
    }

    /** TensorBoard drops what came at or after the step at which a later process starts. */
    @Test
    void tensorBoardSeesTheSameFiguresEachOnce() throws IOException {
        Map<Long, EventFileReader.Event> steps = new TreeMap<>();
        Map<Long, EventFileReader.Event> validations = new TreeMap<>();
        List<Long> starts = new ArrayList<>();
        for (Path file : eventFiles()) {
            List<EventFileReader.Event> events = EventFileReader.read(file);
            assertThat(events.getFirst().version()).isEqualTo("brain.Event:2");
            assertThat(events.get(1).start()).isTrue();
            for (EventFileReader.Event event : events) {
                assertThat(event.wallTime()).isBetween(seconds(start) - 1, seconds(Instant.now()));
                if (event.start()) {
                    starts.add(event.step());
                    steps.keySet().removeIf(step -> step >= event.step());
                    validations.keySet().removeIf(step -> step >= event.step());
                } else if (event.scalars().containsKey("train/loss")) {
                    assertThat(steps.put(event.step(), event)).isNull();
                } else if (!event.scalars().isEmpty()) {
                    assertThat(validations.put(event.step(), event)).isNull();
                }
            }
        }
        assertThat(starts).containsExactly(1L, 4L);
        for (JsonNode line : TestRun.metrics(out)) {
            boolean step = line.has("loss");
            var event = (step ? steps : validations).remove(line.get("step").asLong());
            Map<String, Float> expected = new TreeMap<>();
            for (String name : step ? List.of("loss", "bits_per_byte", "gradient_norm", "learning_rate",
                    "bytes_per_second") : List.of("loss", "bits_per_byte")) {
                expected.put((step ? "train/" : "valid/") + name, line.get((step ? "" : "valid_") + name).floatValue());
            }
            assertThat(event.scalars()).isEqualTo(expected);
        }
        assertThat(steps).isEmpty();
        assertThat(validations).isEmpty();
    }

    private static double seconds(Instant time) {
        return time.toEpochMilli() / 1e3;
    }

    /** In the order of their names, in which TensorBoard reads them. */
    private static List<Path> eventFiles() throws IOException {
        try (Stream<Path> files = Files.list(out.resolve("tensorboard"))) {
            List<Path> sorted = files.sorted().toList();
            assertThat(sorted).hasSize(2).allMatch(file -> file.getFileName().toString().contains("tfevents"));
            return sorted;
        }
    }

    @Test
    void thePictureShowsBothCurves() throws IOException {
        BufferedImage picture = ImageIO.read(out.resolve("loss.png").toFile());
        assertThat(Files.readAllBytes(out.resolve("loss.png"))).startsWith(0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n');
        assertThat(picture.getWidth()).isEqualTo(960);
        assertThat(picture.getHeight()).isEqualTo(600);
        Set<Integer> red = new TreeSet<>();
        Set<Integer> blue = new TreeSet<>();
        for (int x = 0; x < picture.getWidth(); x++) {
            for (int y = 0; y < picture.getHeight(); y++) {
                int color = picture.getRGB(x, y);
                int more = (color >> 16 & 0xff) - (color & 0xff);
                if (Math.abs(more) > 60) {
                    (more > 0 ? red : blue).add(x);
                }
            }
        }
        // From the first step to the last, and from the first validation, at step 2.
        assertThat(blue.size()).isGreaterThan(500);
        assertThat(red.size()).isGreaterThan(400);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{\"step\":3,\"lo", "{\"step\":3,\"loss\":1.5}", "\0\0\0\0", "{\"step\":3}\n",
        "no JSON\n", "{\"step\":\"x\",\"loss\":1}\n", "[]\n", "\n\n\n"})
    void whatAKilledProcessLeavesBehindIsCutOff(String rest) throws IOException {
        Path file = Files.createTempFile(folder, "metrics", ".jsonl");
        write(file, 0, 1, 2);
        long size = Files.size(file);
        Files.writeString(file, rest, StandardOpenOption.APPEND);
        List<Long> kept = new ArrayList<>();
        MetricsFile.continueAfter(file, 2, metric -> kept.add(metric.step())).close();
        assertThat(kept).containsExactly(1L, 2L);
        assertThat(Files.size(file)).isEqualTo(size);
        write(file, 2, 3);
        assertThat(Files.readAllLines(file)).hasSize(3).last().asString().startsWith("{\"step\":3,\"loss\":1.5,");
    }

    /** A whole last line that lacks only its end, of a step that counts. */
    @Test
    void aLineWithoutItsEndGetsOne() throws IOException {
        Path file = Files.createTempFile(folder, "metrics", ".jsonl");
        write(file, 0, 1, 2);
        String whole = Files.readString(file);
        Files.writeString(file, whole.stripTrailing());
        write(file, 2, 3);
        assertThat(Files.readString(file)).startsWith(whole);
        assertThat(Files.readAllLines(file)).hasSize(3);
    }

    private static void write(Path file, long after, long... steps) {
        try (MetricsFile metrics = MetricsFile.continueAfter(file, after, metric -> { })) {
            for (long step : steps) {
                metrics.append(new Metric.Step(step, 1.5f, 2, 0.001f, 10 * step, 3, TIME));
            }
        }
    }

    @Test
    void aCurveOfAnyLengthKeepsItsMeanInBoundedMemory() {
        LossCurve curve = new LossCurve(10);
        double sum = 0;
        for (int step = 1; step <= 12345; step++) {
            curve.add(step, step % 7);
            sum += step % 7;
        }
        assertThat(curve.points()).isBetween(5, 10);
        double[] steps = curve.meanSteps();
        double[] values = curve.meanValues();
        for (int i = 1; i < steps.length; i++) {
            assertThat(steps[i]).isGreaterThan(steps[i - 1]);
        }
        for (double value : values) {
            assertThat(value).isCloseTo(sum / 12345, within(0.05));
        }
        assertThat(new LossCurve(4).meanValues()).isEmpty();
    }
}
