package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SIGKILL at random moments of a process that does nothing but write checkpoints. */
class KilledRunTest {
    private static final int KILLS = 5;

    /** Saves checkpoints until it is killed; reports each on its standard output when it is safe. */
    public static final class Victim {
        public static void main(String[] arguments) {
            try (RunFolder run = RunFolder.open(Path.of(arguments[0]))) {
                long step = run.latest(RunFolderTest.NO_NOTICE).map(Checkpoint::step).orElse(0L);
                while (true) {
                    step++;
                    run.save(step, RunFolderTest.contents(step), 2);
                    System.out.println(step);
                }
            }
        }
    }

    @Test
    void aKillAtAnyMomentLosesNoFinishedCheckpoint(@TempDir Path folder) throws IOException, InterruptedException {
        Path path = Files.createDirectory(folder.resolve("run"));
        Random random = new Random(11);
        long reported = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            Path log = folder.resolve("log-" + kill);
            Process victim = new ProcessBuilder(ProcessHandle.current().info().command().orElseThrow(), "-Xmx64m",
                    "-XX:TieredStopAtLevel=1", "-cp", System.getProperty("java.class.path"), Victim.class.getName(),
                    path.toString()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
            while (victim.isAlive() && Files.size(log) == 0) {
                Thread.sleep(5);
            }
            Thread.sleep(random.nextInt(120));
            victim.destroyForcibly().waitFor();
            // The last line may have been cut off by the kill.
            String lines = Files.readString(log);
            String whole = lines.substring(0, lines.lastIndexOf('\n') + 1).strip();
            reported = Long.parseLong(whole.substring(whole.lastIndexOf('\n') + 1));
            try (RunFolder run = RunFolder.open(path)) {
                Optional<Checkpoint> latest = run.latest(RunFolderTest.NO_NOTICE);
                long step = latest.orElseThrow().step();
                // The last one may have been safe before it could be reported.
                assertThat(step).isBetween(reported, reported + 1);
                RunFolderTest.assertHolds(latest.get(), step);
                assertThat(run.steps().size()).isLessThanOrEqualTo(3);
                assertThat(Files.exists(run.file("model.safetensors"))).isTrue();
            }
        }
        assertThat(reported).isGreaterThan(KILLS);
    }
}
