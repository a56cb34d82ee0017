package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LargePagesTest {
    private static final Path MAPS = Path.of("/proc/self/maps");

    @ParameterizedTest
    @ValueSource(longs = {1, 4096, LargePages.SIZE - 4, LargePages.SIZE, 3 * LargePages.SIZE + 12})
    void memoryIsZeroedAndWritableToItsLastByte(long bytes) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment memory = LargePages.allocate(bytes, arena);
            assertThat(memory.byteSize()).isEqualTo(bytes);
            assertThat(memory.toArray(ValueLayout.JAVA_BYTE)).containsOnly(0);
            memory.fill((byte) 7);
            assertThat(memory.get(ValueLayout.JAVA_BYTE, bytes - 1)).isEqualTo((byte) 7);
            assertThatThrownBy(() -> memory.get(ValueLayout.JAVA_BYTE, bytes))
                    .isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void onLinuxMemoryBeginsAtALargePageAndGoesBackToTheSystem() throws IOException {
        assumeTrue(Files.isReadable(MAPS), "this system does not list a process's memory in " + MAPS);
        long address;
        try (Arena arena = Arena.ofShared()) {
            address = LargePages.allocate(5 * LargePages.SIZE, arena).address();
            assertThat(address % LargePages.SIZE).isZero();
            assertThat(isMapped(address, 5 * LargePages.SIZE)).isTrue();
        }
        assertThat(isMapped(address, 5 * LargePages.SIZE)).isFalse();
    }

    @Test
    void whatTheSystemCannotGiveIsAnOutOfMemoryError() {
        try (Arena arena = Arena.ofShared()) {
            assertThatThrownBy(() -> LargePages.allocate(1L << 56, arena)).isInstanceOf(OutOfMemoryError.class)
                    .hasMessageContaining("72057594037927936 bytes");
        }
    }

    /** Whether one mapping holds the whole range. */
    private static boolean isMapped(long address, long bytes) throws IOException {
        List<String> lines = Files.readAllLines(MAPS);
        return lines.stream().map(line -> line.substring(0, line.indexOf(' ')).split("-")).anyMatch(range ->
                Long.parseUnsignedLong(range[0], 16) <= address
                        && address + bytes <= Long.parseUnsignedLong(range[1], 16));
    }
}
