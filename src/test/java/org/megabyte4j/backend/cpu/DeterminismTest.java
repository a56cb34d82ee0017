package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The same number of threads gives the same bits: in every run, in another process, interpreted and compiled. */
class DeterminismTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void bitsStayTheSameWhileTheCodeIsCompiled(int threads) {
        try (CpuBackend backend = CpuBackend.open(threads)) {
            Map<String, Long> first = EveryOperation.checksums(backend);
            for (int i = 0; i < 10; i++) {
                assertThat(EveryOperation.checksums(backend)).isEqualTo(first);
            }
        }
    }

    @Test
    void interpretedAndCompiledCodeGiveTheSameBits() throws Exception {
        ChildJvm interpreted = ChildJvm.run(List.of("--add-modules=jdk.incubator.vector", "-Xint"), path -> true,
                EveryOperation.class, "2");
        try (CpuBackend backend = CpuBackend.open(2)) {
            assertThat(interpreted.output()).as(interpreted.errors()).isEqualTo(lines(backend));
        }
    }

    /** What {@link EveryOperation} prints, when its code has been compiled. */
    static List<String> lines(CpuBackend backend) {
        Map<String, Long> sums = Map.of();
        for (int i = 0; i < 10; i++) {
            sums = EveryOperation.checksums(backend);
        }
        List<String> lines = new ArrayList<>(List.of(backend.description()));
        sums.forEach((name, sum) -> lines.add(name + " " + sum));
        return lines;
    }
}
