package org.megabyte4j.ffi;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class OpenBlasTest {
    @Test
    void theShippedLibraryLoadsAndSaysWhatItIs() {
        OpenBlas blas = OpenBlas.open();
        assertThat(blas.location()).contains("openblas");
        assertThat(blas.version()).startsWith("OpenBLAS 0.3.");
        assertThat(blas.core()).isNotBlank();
    }

    @Test
    void matricesAreRowMajor() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment a = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
            MemorySegment b = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 10, 100, 2, 20, 200);
            MemorySegment c = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 1, 1, 1);
            OpenBlas.open().sgemm(false, true, 2, 2, 3, 1, a, 3, b, 3, 2, c, 2);
            assertThat(c.toArray(ValueLayout.JAVA_FLOAT)).containsExactly(323, 644, 656, 1310);
        }
    }
}
