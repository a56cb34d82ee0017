package org.megabyte4j.jmh;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckTableTest {
    @TempDir
    Path folder;

    private void write(String file, String text) throws IOException {
        Files.writeString(folder.resolve(file), text);
    }

    @Test
    void aPageOfWhatThePhasesLeft() throws IOException {
        write("phases.tsv", "info\tok\t3\t\ntests\tfailed\t41\texit status 1; see logs/tests.log\n"
                + "train-bf16\tok\t30\t\npeer-check\tskipped\t0\tno PyTorch\n");
        write("train-bf16.json", """
                {"device": "cuda:0", "device_description": "GPU X", "java": "25.0.1", "batch": 32, "seq_len": 2048,
                 "step_ms": [12, 10, 11], "median_ms": 11, "kb_per_s": 6000, "gflop_per_s": 450000}""");
        write("peer-train-bf16.json", """
                {"batch": 32, "seq_len": 2048, "step_ms": [22, 20.5], "median_ms": 21.25, "kb_per_s": 3000,
                 "gflop_per_s": 225000}""");
        write("train-1m.json", """
                {"batch": 1, "seq_len": 1048576, "step_ms": [4000], "median_ms": 4000, "kb_per_s": 262.1,
                 "gflop_per_s": 350000}""");
        write("generate-bf16.json", """
                {"context": 512, "bytes_per_s": 4000, "byte_ms": [0.3, 0.2, 0.25], "first_byte_ms": 5}""");
        assertThat(CheckTable.of(folder)).isEqualTo("""
                # Checks

                GPU X; Java 25.0.1

                | phase | status | seconds | |
                |---|---|--:|---|
                | info | ok | 3 |  |
                | tests | **failed** | 41 | exit status 1; see logs/tests.log |
                | train-bf16 | ok | 30 |  |
                | peer-check | skipped | 0 | no PyTorch |

                ## Training

                A step: forward, loss, backward, AdamW. The ratio is that of rates, megabyte4j's over PyTorch's.

                | dtype | side | batch x bytes | median ms | least to most | KB/s | TFLOP/s | ratio |
                |---|---|---|--:|---|--:|--:|--:|
                | bf16 | megabyte4j | 32 x 2048 | 11.0 | 10.0 to 12.0 | 6,000 | 450 |  |
                | bf16 | PyTorch, eager | 32 x 2048 | 21.3 | 20.5 to 22.0 | 3,000 | 225 | 2.00 |
                | bf16 | megabyte4j | 1 x 1048576 | 4,000 | 4,000 to 4,000 | 262 | 350 |  |

                ## Generation

                Greedy, with caches on both sides; one sequence unless said.

                | dtype | side | context | bytes/s | median ms of a byte | first byte ms | ratio |
                |---|---|--:|--:|--:|--:|--:|
                | bf16 | megabyte4j | 512 | 4,000 | 0.250 | 5.00 |  |
                """);
    }

    @Test
    void bothSidesOfEqualWorkAreALineForTheReport() throws IOException {
        write("phases.tsv", "train-bf16\tok\t30\t\n");
        write("train-bf16.json", """
                {"mode": "train", "device_description": "NVIDIA H200, compute capability 9.0", "java": "25", "kb_per_s": 3}""");
        write("peer-train-bf16.json", "{\"kb_per_s\": 2}");
        write("peer-train-bf16-compiled.json", "{\"kb_per_s\": 2.5, \"compiled\": true}");
        CheckTable.main(new String[] {folder.toString()});
        List<String> lines = Files.readAllLines(folder.resolve("gpu.jsonl"));
        assertThat(lines).hasSize(3);
        assertThat(lines.getFirst()).contains("\"machine\":\"NVIDIA H200, compute capability 9.0\"");
        List<SpeedCase> cases = SpeedCase.read(folder.resolve("gpu.jsonl"));
        assertThat(cases).hasSize(1);
        assertThat(cases.getFirst().sides()).extracting(SpeedCase.Side::name)
                .containsExactly("megabyte4j", "PyTorch, compiled", "PyTorch, eager");
    }

    @Test
    void figuresOfTheSimulatedDeviceAreLabelled() throws IOException {
        write("phases.tsv", "train-float32\tok\t3\t\n");
        write("train-float32.json", """
                {"device": "simulated", "device_description": "none", "java": "25", "step_ms": [1], "median_ms": 1}""");
        assertThat(CheckTable.of(folder)).contains("**From the simulated device: no time here is one of hardware.**");
    }

    @Test
    void halfWrittenResultsDoNotKeepTheRest() throws IOException {
        write("phases.tsv", "train-bf16\ttimed out\t90\tafter 90 s\n");
        write("train-bf16.json", "{\"median_ms\": 1");
        assertThat(CheckTable.of(folder)).contains("| train-bf16 | **timed out** | 90 | after 90 s |");
    }
}
