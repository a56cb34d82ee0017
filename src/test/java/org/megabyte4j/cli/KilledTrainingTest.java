package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Variant;
import org.megabyte4j.train.TestRun;

/** Signals to processes that train, compared with a process that nobody disturbs. */
class KilledTrainingTest {
    private static final int STEPS = 30;
    private static final int KILLS = 3;

    @TempDir
    static Path folder;

    private static Path whole;
    private Process process;

    @BeforeAll
    static void trainUndisturbed() throws IOException, InterruptedException {
        Files.write(folder.resolve("text"), TestRun.text(2000, 5));
        Files.writeString(folder.resolve("config.json"), ConfigJson.write(TestRun.config(Variant.IN_ACTION)));
        whole = folder.resolve("whole");
        Process process = start(whole, false, "--checkpoint-every", "1000");
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(log(whole)).isZero();
    }

    @AfterEach
    void end() {
        if (process != null) {
            process.destroyForcibly();
        }
    }

    private static Process start(Path out, boolean resume, String... more) throws IOException {
        return start(command(out, resume, more), out);
    }

    private static Process start(List<String> command, Path out) throws IOException {
        return new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(logFile(out).toFile())).start();
    }

    private static List<String> command(Path out, boolean resume, String... more) {
        Path java = Path.of(System.getProperty("java.home"), "bin", "java");
        List<String> command = new ArrayList<>(List.of(java.toString(),
                // The plain loops start faster than vectors, which only the second compiler makes fast.
                "-Xmx128m", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-cp", System.getProperty("java.class.path"), Main.class.getName(),
                "train", "--out", out.toString(), "--threads", "2", "--eval-every", "7"));
        command.addAll(resume ? List.of("--resume") : List.of("--data", folder.resolve("text").toString(), "--config",
                folder.resolve("config.json").toString(), "--steps", "" + STEPS, "--batch", "3", "--seq-len", "48",
                "--warmup", "5", "--seed", "3"));
        command.addAll(List.of(more));
        return command;
    }

    private static Path logFile(Path out) {
        return out.resolveSibling(out.getFileName() + ".log");
    }

    private static String log(Path out) throws IOException {
        return Files.readString(logFile(out));
    }

    private static String lastLine(Path out) throws IOException {
        return log(out).lines().toList().getLast();
    }

    /** Complete lines of the metrics, 0 if there is no such file yet. */
    private static long lines(Path out) {
        try {
            return Files.readString(out.resolve("metrics.jsonl")).chars().filter(c -> c == '\n').count();
        } catch (IOException e) {
            return 0;
        }
    }

    private static boolean isWriting(Path out) {
        try (Stream<Path> files = Files.list(out.resolve("checkpoints"))) {
            return files.anyMatch(file -> file.getFileName().toString().startsWith("."));
        } catch (IOException | java.io.UncheckedIOException e) {
            return false;
        }
    }

    private void await(BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (process.isAlive() && !condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as("the process does not come along").isLessThan(end);
            Thread.sleep(1);
        }
    }

    private static void assertSameAsUndisturbed(Path out) throws IOException {
        for (String file : List.of("model.safetensors", "optimizer.safetensors")) {
            assertThat(TestRun.newest(out, file)).as(file).isEqualTo(TestRun.newest(whole, file));
        }
        List<JsonNode> metrics = TestRun.timelessMetrics(out);
        assertThat(metrics).isEqualTo(TestRun.timelessMetrics(whole));
        assertThat(metrics.stream().filter(line -> line.has("loss")).map(line -> line.get("step").asInt()))
                .containsExactlyElementsOf(Stream.iterate(1, step -> step + 1).limit(STEPS).toList());
    }

    @Test
    void killsAtAnyMomentChangeNotABit() throws IOException, InterruptedException {
        Path out = folder.resolve("killed");
        Random random = new Random(7);
        int kills = 0;
        int whileWriting = 0;
        process = start(out, false, "--checkpoint-every", "1");
        while (kills < KILLS || whileWriting == 0) {
            boolean aim = kills % 2 == 0;
            long more = lines(out) + 2;
            await(() -> lines(out) >= more);
            if (aim) {
                await(() -> isWriting(out));
            } else {
                Thread.sleep(random.nextInt(80));
            }
            if (process.destroyForcibly().waitFor() == 0) {
                break;
            }
            kills++;
            whileWriting += isWriting(out) ? 1 : 0;
            process = start(out, true, "--checkpoint-every", "1");
        }
        assertThat(process.waitFor()).as(log(out)).isZero();
        assertThat(kills).as(log(out)).isGreaterThan(1);
        assertThat(whileWriting).as("kills while a checkpoint was being written").isPositive();
        assertSameAsUndisturbed(out);
        try (Stream<Path> left = Files.list(out.resolve("checkpoints"))) {
            assertThat(left).as("what is left").hasSize(2);
        }
    }

    @Test
    void anInterruptIsAnsweredWithACheckpointAndTheWayOn() throws IOException, InterruptedException {
        Path out = folder.resolve("interrupted");
        process = start(out, false, "--checkpoint-every", "1000");
        await(() -> lines(out) >= 3);
        interrupt();
        assertThat(process.waitFor()).as(log(out)).isEqualTo(130);
        long step;
        try (RunFolder run = RunFolder.open(out)) {
            step = run.latest(notice -> { }).orElseThrow().step();
        }
        assertThat(step).isGreaterThanOrEqualTo(3);
        assertThat(lastLine(out)).isEqualTo("Stopped after " + step
                + " steps; a checkpoint is in " + out + ". Continue with: megabyte4j train --resume --out " + out);

        // A shell's limit on the size of files does what a full disk does.
        List<String> limited = new ArrayList<>(List.of("sh", "-c", "ulimit -f 40; exec \"$@\"", "sh"));
        limited.addAll(command(out, true, "--checkpoint-every", "1"));
        process = start(limited, out);
        assertThat(process.waitFor()).as(log(out)).isEqualTo(1);
        assertThat(lastLine(out)).startsWith("megabyte4j: the checkpoint of step " + (step + 1)
                + " cannot be written to " + out + ": ").endsWith("; the checkpoint of step " + step + " is kept");
        assertThat(log(out)).doesNotContain("\tat ");

        process = start(out, true);
        assertThat(process.waitFor()).as(log(out)).isZero();
        assertThat(lastLine(out))
                .isEqualTo("Done: " + STEPS + " steps. The model and its metrics are in " + out + ".");
        assertSameAsUndisturbed(out);
    }

    @Test
    void aFailureAfterAnInterruptIsStillSaid() throws IOException, InterruptedException {
        Path out = folder.resolve("interrupted and failed");
        process = start(out, false, "--checkpoint-every", "1000");
        await(() -> lines(out) >= 3);
        Path checkpoints = out.resolve("checkpoints");
        Files.move(checkpoints, out.resolve("moved"));
        Files.createFile(checkpoints);
        interrupt();
        assertThat(process.waitFor()).as(log(out)).isEqualTo(130);
        assertThat(lastLine(out)).matches("megabyte4j: the checkpoint of step \\d+ cannot be written to \\Q" + out
                + "\\E: .*");
    }

    private void interrupt() throws IOException, InterruptedException {
        assumeTrue(answersInterrupts(process), "interrupts are ignored here");
        new ProcessBuilder("kill", "-INT", "" + process.pid()).start().waitFor();
    }

    /** False where this process was started in the background of a script, which hands such a setting on. */
    private static boolean answersInterrupts(Process process) throws IOException {
        Path status = Path.of("/proc", "" + process.pid(), "status");
        if (!Files.exists(status)) {
            return true;
        }
        String ignored = Files.readAllLines(status).stream().filter(line -> line.startsWith("SigIgn:")).findFirst()
                .orElse("0").replaceAll(".*\\s", "");
        return (Long.parseUnsignedLong(ignored, 16) & 1 << 1) == 0;
    }
}
