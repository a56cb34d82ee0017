package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.cpu.ChildJvm;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Variant;
import org.megabyte4j.train.TestRun;

/** The commands as a user gives them, on the CUDA backend: processes of their own with the simulated device. */
class DeviceRunTest {
    private static final String[] DEVICE = {"--device", "simulated"};

    @TempDir
    private Path folder;

    private static ChildJvm megabyte4j(String... arguments) throws IOException, InterruptedException {
        Path simulator = Path.of("native-build/out/simulator/libcuda.so.1").toAbsolutePath();
        assumeTrue(Files.exists(simulator), "the simulated device is not built; make simulator builds it with g++");
        String[] all = Stream.of(arguments, DEVICE).flatMap(Stream::of).toArray(String[]::new);
        return ChildJvm.run(List.of(), element -> true, Main.class, all);
    }

    private static ChildJvm done(ChildJvm process) {
        assertThat(process.exit()).as(process.errors()).isZero();
        return process;
    }

    private void train(Path out, String... more) throws IOException, InterruptedException {
        done(megabyte4j(Stream.of(new String[] {"train", "--out", out.toString(), "--checkpoint-every", "3"}, more)
                .flatMap(Stream::of).toArray(String[]::new)));
    }

    private String[] fresh(String dtype, String steps) {
        return new String[] {"--data", folder.resolve("text").toString(), "--config",
            folder.resolve("config.json").toString(), "--batch", "2", "--seq-len", "48", "--warmup", "2", "--steps",
            steps, "--lr", "0.003", "--dtype", dtype};
    }

    enum Dtype {
        FLOAT32, BF16;

        String option() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aRunThatIsResumedEndsWithTheSameBitsAndItsModelIsUsable(Dtype dtype) throws IOException, InterruptedException {
        Files.write(folder.resolve("text"), TestRun.text(2000, 5));
        Files.writeString(folder.resolve("config.json"), ConfigJson.write(TestRun.config(Variant.IN_ACTION)));
        Path whole = folder.resolve("whole");
        Path parts = folder.resolve("parts");
        train(whole, fresh(dtype.option(), "9"));
        train(parts, fresh(dtype.option(), "9"));
        // As if it had been killed between the checkpoint of step 6 and that of step 9.
        try (Stream<Path> checkpoints = Files.list(parts.resolve("checkpoints"))) {
            Path newest = checkpoints.sorted().toList().getLast();
            assertThat(newest.getFileName().toString()).endsWith("9");
            try (Stream<Path> files = Files.list(newest)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(newest);
        }
        train(parts, "--resume");

        for (String file : List.of("model.safetensors", "optimizer.safetensors")) {
            assertThat(TestRun.newest(parts, file)).as(file).isEqualTo(TestRun.newest(whole, file));
        }
        assertThat(TestRun.timelessMetrics(parts)).isEqualTo(TestRun.timelessMetrics(whole));

        ChildJvm eval = done(megabyte4j("eval", whole.toString(), "--dtype", dtype.option()));
        assertThat(String.join("\n", eval.output())).containsPattern("\\d\\.\\d{4}");
        String[] generate = {"generate", whole.toString(), "-p", "the quick", "-n", "12", "--seed", "3", "--dtype",
            dtype.option()};
        List<String> text = done(megabyte4j(generate)).output();
        assertThat(text).isNotEmpty().isEqualTo(done(megabyte4j(generate)).output());
    }
}
