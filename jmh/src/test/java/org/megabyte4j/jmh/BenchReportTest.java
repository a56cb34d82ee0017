package org.megabyte4j.jmh;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BenchReportTest {
    private static final String BEGIN = "<!-- make bench-report writes from here -->";
    private static final String END = "<!-- make bench-report writes to here -->";

    @TempDir
    Path docs;

    private static String round(double ours, double peer, boolean compiled) {
        return """
                {"case": "train-bf16", "ours": {"mode": "train", "model": "benchmark", "batch": 32, "seq_len": 2048,\
                 "dtype": "bf16", "kb_per_s": %s, "gflop_per_s": 494500, "peak_tflop_per_s": 989.0, "device_memory_share": 0.25},\
                 "peer": {"kb_per_s": %s, "compiled": %s, "gflop_per_s": 98900, "device_memory_share": 0.5}}
                """.formatted(ours, peer, compiled);
    }

    private Path rounds() throws IOException {
        return Files.writeString(Files.createDirectories(docs.resolve("benchmarks")).resolve("gpu.jsonl"),
                "{\"date\": \"2030-01-02\", \"machine\": \"NVIDIA H200, compute capability 9.0\"}\n"
                        + round(3000, 1000, false) + round(3000, 2000, true) + round(4000, 1000, false)
                        + round(4000, 3200, true) + round(3500, 700, false) + round(3500, 2500, true));
    }

    @Test
    void ratiosAreTakenWithinARound() throws IOException {
        assertThat(BenchReport.table(SpeedCase.read(rounds()))).isEqualTo("""
                | case | parameters | | KB/s (range) | memory | MFU | megabyte4j's speed over it |
                |---|--:|---|--:|--:|--:|---|
                | benchmark, training, batch 32, T = 2048, bf16 | 131.9 M | megabyte4j | 3,500 (3,000 to 4,000)\
                 | 25.0 % of the device | 50.0 % |  |
                |  |  | PyTorch, compiled | 2,500 (2,000 to 3,200) | 50.0 % of the device | 10.0 %\
                 | **1.40** (1.25 to 1.50) |
                |  |  | PyTorch, eager | 1,000 (700 to 1,000) | 50.0 % of the device | 10.0 %\
                 | **4.00** (3.00 to 5.00) |
                """);
    }

    /** Of three rounds; and what differs in its weights or its batch is another case. */
    @Test
    void memoryIsAMedianAndCasesAreKeptApart() throws IOException {
        StringBuilder lines = new StringBuilder("{}\n");
        for (String ours : new String[] {"\"peak_rss_mib\": 3", "\"peak_rss_mib\": 1", "\"peak_rss_mib\": 2",
            "\"weights\": \"bf16\"", "\"batch\": 64"}) {
            lines.append("{\"ours\": {\"mode\": \"generate\", \"model\": \"small\", \"context\": 9,"
                    + " \"dtype\": \"float32\", \"bytes_per_s\": 5e3, ").append(ours).append("}}\n");
        }
        Path file = Files.writeString(docs.resolve("runs.jsonl"), lines);
        assertThat(BenchReport.table(SpeedCase.read(file)).lines().skip(2)).containsExactly(
                "| small, generation, context 9, float32 | 3.2 M | megabyte4j | 5.00 (5.00 to 5.00) | 2 MiB |  |  |",
                "| small, generation, context 9, float32, weights in bf16 | 3.2 M | megabyte4j | 5.00 (5.00 to 5.00)"
                        + " |  |  |  |",
                "| small, generation, batch 64, context 9, float32 | 3.2 M | megabyte4j | 5.00 (5.00 to 5.00)"
                        + " |  |  |  |");
    }

    @Test
    void tablesAndPicturesGoToTheirPlacesAndTheRestStays() throws IOException {
        rounds();
        for (String document : List.of("benchmarks.md", "performance.md")) {
            Files.writeString(docs.resolve(document), "before\n" + BEGIN + "\nold\n" + END + "\nafter\n");
        }
        BenchReport.main(new String[] {docs.toString()});
        assertThat(docs.resolve("benchmarks.md")).content().startsWith("before\n" + BEGIN + "\n![Bars")
                .endsWith(END + "\nafter\n").contains("NVIDIA H200, compute capability 9.0, 2030-01-02.")
                .doesNotContain("old");
        assertThat(docs.resolve("performance.md")).content().contains("| **total** |", "waits for hardware");
        BufferedImage picture = ImageIO.read(docs.resolve("benchmarks/gpu.png").toFile());
        assertThat(picture.getWidth()).isGreaterThan(picture.getHeight());
    }

    @Test
    void eachRunOnAGpuHasItsTableAndTargets() throws IOException {
        Path gpu = rounds();
        Files.writeString(gpu.resolveSibling("gpu-shapes.jsonl"), """
                {"date": "2030-01-03", "machine": "NVIDIA H100, compute capability 9.0"}
                {"case": "train-p4", "ours": {"mode": "train", "model": "benchmark", "patch_size": 4, "batch": 32,\
                 "seq_len": 2048, "dtype": "bf16", "optimizer": "adafactor", "kb_per_s": 2000},\
                 "peer": {"kb_per_s": 1600, "compiled": true}}
                """);
        for (String document : List.of("benchmarks.md", "performance.md")) {
            Files.writeString(docs.resolve(document), BEGIN + "\n" + END + "\n");
        }
        BenchReport.main(new String[] {docs.toString()});
        assertThat(docs.resolve("benchmarks.md")).content().contains("benchmarks/gpu-shapes.png", "benchmarks/gpu.png",
                "| benchmark, P = 4, adafactor, training, batch 32, T = 2048, bf16 |",
                "| training, p4, over compiled PyTorch | at least 1.15 | 1.25 | met |",
                "| training, benchmark, MB/s: aim | at least 4.00 | 3.50 | **missed** |");
    }

    @Test
    void aDocumentWithoutMarkersIsLeftAlone() throws IOException {
        Path document = Files.writeString(docs.resolve("some.md"), "text " + BEGIN);
        assertThatThrownBy(() -> BenchReport.put(document, "table")).isInstanceOf(IOException.class)
                .hasMessageContaining("each once; the table goes between them");
        assertThat(document).content().isEqualTo("text " + BEGIN);
    }
}
