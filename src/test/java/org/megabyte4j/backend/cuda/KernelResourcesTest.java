package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What ptxas says of the compiled kernels; see docs/kernels.md. */
class KernelResourcesTest {
    private static final Path FIGURES = Path.of("native-build/out/kernel-resources.json");

    private static JsonNode figures;

    @BeforeAll
    static void read() throws IOException {
        assumeTrue(Files.exists(FIGURES), "the kernels are not compiled; make kernels does that where nvcc is");
        figures = new ObjectMapper().readTree(FIGURES.toFile());
    }

    /** Whatever a thread holds stays in registers. */
    @Test
    void noEntryPointSpillsOrHasAStack() {
        assertThat(figures).isNotEmpty();
        for (JsonNode entry : figures) {
            assertThat(entry.path("spilledBytes").asInt(-1)).as("spilled bytes of " + entry).isZero();
            assertThat(entry.path("stackBytes").asInt(-1)).as("stack of " + entry).isZero();
        }
    }

    @Test
    void everyFileIsThereForBothKindsOfGpu() throws IOException {
        Set<String> files = new TreeSet<>();
        try (Stream<Path> sources = Files.list(Path.of("kernels"))) {
            sources.map(path -> path.getFileName().toString()).filter(name -> name.endsWith(".cu"))
                    .forEach(name -> files.add(name.substring(0, name.length() - 3)));
        }
        for (String gpu : List.of("sm_80", "sm_90a")) {
            Set<String> compiled = new TreeSet<>();
            figures.forEach(entry -> {
                if (entry.path("gpu").asText().equals(gpu)) {
                    compiled.add(entry.path("file").asText());
                }
            });
            assertThat(compiled).as(gpu).isEqualTo(files);
        }
    }
}
