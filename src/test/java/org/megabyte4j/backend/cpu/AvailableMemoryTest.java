package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AvailableMemoryTest {
    @TempDir
    private Path folder;
    private Path memory;

    @BeforeEach
    void aMachineWithEightGigabytes() throws IOException {
        memory = Files.writeString(folder.resolve("meminfo"), """
                MemTotal:       16000000 kB
                MemFree:         1000000 kB
                MemAvailable:    8000000 kB
                """);
    }

    @Test
    void withoutAControlGroupItIsTheSystemsFigure() {
        assertThat(AvailableMemory.of(memory, folder)).isEqualTo(8_192_000_000L);
    }

    @Test
    void aControlGroupWithoutALimitChangesNothing() throws IOException {
        Files.writeString(folder.resolve("memory.max"), "max\n");
        assertThat(AvailableMemory.of(memory, folder)).isEqualTo(8_192_000_000L);
    }

    @Test
    void aLimitLeavesWhatIsUnusedAndWhatHoldsFiles() throws IOException {
        controlGroup(4_000_000_000L, 3_900_000_000L, 1_000_000_000L, 2_500_000_000L);
        assertThat(AvailableMemory.of(memory, folder)).isEqualTo(3_600_000_000L);
    }

    @Test
    void aLimitBeyondTheMachineIsNone() throws IOException {
        controlGroup(64_000_000_000L, 1_000_000_000L, 0, 0);
        assertThat(AvailableMemory.of(memory, folder)).isEqualTo(8_192_000_000L);
    }

    @Test
    void aGroupBeyondItsLimitHasNothingLeft() throws IOException {
        controlGroup(4_000_000_000L, 4_100_000_000L, 0, 0);
        assertThat(AvailableMemory.of(memory, folder)).isZero();
    }

    @Test
    void whatCannotBeReadCountsAsNothing() throws IOException {
        assertThat(AvailableMemory.of(folder.resolve("nothing"), folder)).isZero();
        controlGroup(1, 1, 1, 1);
        Files.writeString(folder.resolve("memory.max"), "plenty\n");
        assertThat(AvailableMemory.of(memory, folder)).isZero();
    }

    private void controlGroup(long limit, long used, long activeFiles, long inactiveFiles) throws IOException {
        Files.writeString(folder.resolve("memory.max"), limit + "\n");
        Files.writeString(folder.resolve("memory.current"), used + "\n");
        Files.writeString(folder.resolve("memory.stat"), "anon 5\nfile 7\nactive_file " + activeFiles
                + "\ninactive_file " + inactiveFiles + "\n");
    }
}
