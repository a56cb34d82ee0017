package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.Tensor;

/** How runs go wrong, and what is left of them. */
class TrainingRunTest {
    private static final TrainOptions OPTIONS = TrainOptions.of(TestRun.BATCH, TestRun.LENGTH, 1e-3);

    @TempDir
    private Path folder;
    private Path out;
    private DataOptions data;

    @BeforeEach
    void writeData() throws IOException {
        out = folder.resolve("run");
        data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(300, 1)), Sampling.RANDOM);
    }

    private TrainingRun.Outcome train(RunOptions run, Consumer<TestRun.Handle> atEachStep) throws IOException {
        return TestRun.train(out, data, OPTIONS, run, atEachStep);
    }

    private static RunOptions options(long steps, long logEvery, long checkpointEvery, int keep) {
        return new RunOptions(steps, null, new Bookkeeping(logEvery, checkpointEvery, keep, 0, 96));
    }

    private List<Long> steps() {
        try (RunFolder run = RunFolder.open(out)) {
            return run.steps();
        }
    }

    private static void poison(TestRun.Handle handle, float value) {
        Tensor bias = handle.trainer().parameters().get("to_logits.bias");
        float[] values = new float[(int) bias.elements()];
        Arrays.fill(values, -value);
        values[0] = value;
        handle.trainer().backend().write(bias, values);
    }

    /** The head's bias reaches the loss at once; the steps are those of the log, the checkpoints and the poison. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            NaN      | 1 | 4 | 5 | the loss became NaN at step 6           | 4
            Infinity | 1 | 4 | 5 | the loss became NaN at step 6           | 4
            3e38     | 1 | 4 | 5 | the loss became infinite at step 6      | 4
            NaN      | 9 | 4 | 1 | the loss became NaN at step 4           | 0
            NaN      | 1 | 1 | 4 | a weight became NaN or infinite at step 4 | 3
            """)
    void aRunThatDivergesStopsAndKeepsItsLastGoodCheckpoint(float value, long logEvery, long checkpointEvery, long at,
            String sentence, long kept) throws IOException {
        assertThatThrownBy(() -> train(options(20, logEvery, checkpointEvery, 2), handle -> {
            if (handle.trainer().stepsDone() == at) {
                poison(handle, value);
            }
        })).isInstanceOf(TrainException.class).hasMessage(sentence
                + ", and the run was stopped; the checkpoint of step " + kept + " in " + out
                + " is good; try a smaller --lr, more --warmup, or --clip 1");
        assertThat(steps()).endsWith(kept);
        try (Backend backend = CpuBackend.open(1); Parameters good = ModelFiles.load(out, backend, notice -> { })) {
            for (float weight : backend.readFloats(good.arena())) {
                assertThat(weight).isFinite();
            }
        }
        assertThat(TestRun.metrics(out)).last().matches(line -> line.get("step").asLong() == at);
        assertThat(train(options(20, 1, checkpointEvery, 2), handle -> { })).isEqualTo(TrainingRun.Outcome.FINISHED);
    }

    @ParameterizedTest
    @CsvSource({"1, '10'", "2, '8 10'", "3, '6 8 10'", "99, '0 2 4 6 8 10'"})
    void theNewestCheckpointsAreKept(int keep, String left) throws IOException {
        train(options(10, 1, 2, keep), handle -> { });
        assertThat(steps()).containsExactlyElementsOf(Stream.of(left.split(" ")).map(Long::valueOf).toList());
    }

    @Test
    void aTimeLimitEndsTheRunWithACheckpointFromWhichItGoesOn() throws IOException {
        RunOptions timed = new RunOptions(Long.MAX_VALUE, Duration.ofMillis(1), new Bookkeeping(1, 100, 2, 0, 96));
        assertThat(train(timed, handle -> { })).isEqualTo(TrainingRun.Outcome.TIME_IS_UP);
        long first = steps().getLast();
        assertThat(train(timed, handle -> { })).isEqualTo(TrainingRun.Outcome.TIME_IS_UP);
        assertThat(steps().getLast()).isGreaterThanOrEqualTo(first);
        assertThat(train(options(first + 2, 1, 100, 2), handle -> { })).isEqualTo(TrainingRun.Outcome.FINISHED);
        assertThat(steps().getLast()).isEqualTo(first + 2);
    }

    @Test
    void aStopBeforeTheFirstStepLeavesTheFreshModel() throws IOException {
        assertThatThrownBy(() -> TestRun.metrics(out)).isInstanceOf(IOException.class);
        train(options(1, 1, 100, 2), handle -> handle.run().requestStop());
        assertThat(steps()).startsWith(0L);
    }

    @Test
    void aFileInTheWayOfACheckpointIsASentenceAndTheOlderOneStays() throws IOException {
        assertThatThrownBy(() -> train(options(20, 1, 4, 2), handle -> {
            if (handle.trainer().stepsDone() == 6) {
                replaceByFile(out.resolve("checkpoints"));
            }
        })).isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith("the checkpoint of step 8 cannot be written to " + out + ": ");
        assertThat(Files.isRegularFile(out.resolve("model.safetensors"))).isTrue();
        Files.delete(out.resolve("checkpoints"));
        Files.move(out.resolve("checkpoints.aside"), out.resolve("checkpoints"));
        assertThat(steps()).containsExactly(0L, 4L);
        assertThat(train(options(20, 1, 4, 2), handle -> { })).isEqualTo(TrainingRun.Outcome.FINISHED);
    }

    private static void replaceByFile(Path path) {
        try {
            Files.move(path, path.resolveSibling(path.getFileName() + ".aside"));
            Files.createFile(path);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void metricsThatCannotBeWrittenAreASentence() throws IOException {
        train(options(4, 1, 4, 2), handle -> { });
        Path metrics = out.resolve("metrics.jsonl");
        Files.delete(metrics);
        Files.createDirectory(metrics);
        assertThatThrownBy(() -> train(options(8, 1, 4, 2), handle -> { })).isInstanceOf(TrainException.class)
                .hasMessageStartingWith("the metrics cannot be written to " + metrics + ": ")
                .hasMessageEndingWith("; make room or choose another --out");
        Files.delete(metrics);
        replaceByFile(out.resolve("tensorboard"));
        assertThatThrownBy(() -> train(options(8, 1, 4, 2), handle -> { })).isInstanceOf(TrainException.class)
                .hasMessageStartingWith("TensorBoard's events cannot be written to " + out.resolve("tensorboard"))
                .hasMessageEndingWith("; make room or choose another --out");
        assertThat(steps()).endsWith(4L);
    }

    @Test
    void aPictureThatCannotBeDrawnDoesNotStopTheTraining() throws IOException {
        Files.createDirectories(out.resolve("loss.png").resolve("occupied"));
        assertThat(train(options(4, 1, 2, 2), handle -> { })).isEqualTo(TrainingRun.Outcome.FINISHED);
        assertThat(TestRun.metrics(out)).hasSize(4 + 1);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            0 | 1 | 1 | 1 | 0  | --steps 0 is not possible; use at least 1
            1 | 0 | 1 | 1 | 0  | --log-every 0 is not possible; use at least 1
            1 | 1 | 0 | 1 | 0  | --checkpoint-every 0 is not possible; use at least 1
            1 | 1 | 1 | 0 | 0  | --keep 0 is not possible; use at least 1
            1 | 1 | 1 | 1 | -1 | --eval-every -1 is not possible; use at least 0
            """)
    void impossibleOptionsGetASentence(long steps, long logEvery, long checkpointEvery, int keep, long validateEvery,
            String sentence) {
        assertThatThrownBy(() -> new RunOptions(steps, null,
                new Bookkeeping(logEvery, checkpointEvery, keep, validateEvery, 1)))
                .isInstanceOf(TrainException.class).hasMessage(sentence);
    }
}
