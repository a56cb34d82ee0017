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
                + "train-bf16\tok\t30\t\npeer-check\tskipped\t0\tno PyTorch\ntrain-1m\tok\t9\t\n"
                + "generate-64-bf16\tok\t9\t\n");
        write("train-bf16.json", """
                {"device": "cuda:0", "device_description": "GPU X", "java": "25.0.1", "batch": 32, "seq_len": 2048,
                 "step_ms": [12, 10, 11], "median_ms": 11, "kb_per_s": 6000, "gflop_per_s": 450000,
                 "peak_tflop_per_s": 900, "device_memory_mib": 7000}""");
        write("peer-train-bf16.json", """
                {"batch": 32, "seq_len": 2048, "step_ms": [22, 20.5], "median_ms": 21.25, "kb_per_s": 3000,
                 "gflop_per_s": 225000}""");
        write("peer-train-bf16-compiled.json", """
                {"batch": 32, "seq_len": 2048, "step_ms": [16], "median_ms": 16, "kb_per_s": 4000, "compiled": true,
                 "way": "graph", "gflop_per_s": 300000, "device_memory_mib": 10000}""");
        write("train-1m.json", """
                {"batch": 1, "seq_len": 1048576, "step_ms": [4000], "median_ms": 4000, "kb_per_s": 262.1,
                 "gflop_per_s": 350000}""");
        write("generate-64-bf16.json", """
                {"batch": 64, "context": 512, "bytes_per_s": 4000, "byte_ms": [0.3, 0.2, 0.25], "first_byte_ms": 5}""");
        assertThat(CheckTable.of(folder)).isEqualTo("""
                # Checks

                GPU X; Java 25.0.1

                | phase | status | seconds | |
                |---|---|--:|---|
                | info | ok | 3 |  |
                | tests | **failed** | 41 | exit status 1; see logs/tests.log |
                | train-bf16 | ok | 30 |  |
                | peer-check | skipped | 0 | no PyTorch |
                | train-1m | ok | 9 |  |
                | generate-64-bf16 | ok | 9 |  |

                ## Targets

                Of an H200; ratios are megabyte4j's rate over PyTorch's.

                | target | needed | measured | |
                |---|---|--:|---|
                | training, benchmark, MB/s: first milestone | at least 3.00 | 6.00 | met |
                | training, benchmark, MB/s: aim | at least 4.00 | 6.00 | met |
                | training, benchmark, over eager PyTorch | at least 3.00 | 2.00 | **missed** |
                | training, benchmark, over compiled PyTorch | at least 1.25 | 1.50 | met |
                | training, benchmark, device memory over compiled PyTorch's | at most 0.600 | 0.700 | **missed** |
                | generation, benchmark, batch 64, bytes/s: first milestone | at least 300,000 | 4,000 | **missed** |
                | generation, benchmark, batch 64, bytes/s: aim | at least 1,000,000 | 4,000 | **missed** |

                Not measured: training, variant megabyte, over eager PyTorch; training, variant megabyte, over compiled\
                 PyTorch; training, Adafactor's step time over AdamW's; training, p4, over compiled PyTorch;\
                 training, p16, over compiled PyTorch; training, 130m, over compiled PyTorch;\
                 training, t8192, over compiled PyTorch; training, paper, share of the peak (MFU);\
                 training, benchmark, gaps' share of a step; training, 1m, device memory over the plan's;\
                 training, 8m, device memory over the plan's; generation, benchmark, batch 1, bytes/s: first milestone;\
                 generation, benchmark, batch 1, bytes/s: aim; generation, benchmark, batch 1, over PyTorch's best;\
                 generation, benchmark, batch 64, over PyTorch's best; generation, paper-large, batch 1, bytes/s.

                ## Training

                A step: forward, loss, backward, the optimiser. The ratio is that of rates, megabyte4j's over PyTorch's.

                | case | side | batch x bytes | median ms | least to most | KB/s | TFLOP/s | MFU\
                 | device memory, MiB | ratio |
                |---|---|---|--:|---|--:|--:|--:|--:|--:|
                | bf16 | megabyte4j | 32 x 2048 | 11.0 | 10.0 to 12.0 | 6,000 | 450 | 50.0 % | 7,000 |  |
                | bf16 | PyTorch, eager | 32 x 2048 | 21.3 | 20.5 to 22.0 | 3,000 | 225 | 25.0 % |  | 2.00 |
                | bf16 | PyTorch, compiled (graph) | 32 x 2048 | 16.0 | 16.0 to 16.0 | 4,000 | 300 | 33.3 %\
                 | 10,000 | 1.50 |
                | 1m | megabyte4j | 1 x 1048576 | 4,000 | 4,000 to 4,000 | 262 | 350 |  |  |  |

                ## Generation

                Greedy, with caches on both sides; the rate of all sequences together.

                | case | side | sequences | context | bytes/s | median ms of a byte | first byte ms | ratio |
                |---|---|--:|--:|--:|--:|--:|--:|
                | 64-bf16 | megabyte4j | 64 | 512 | 4,000 | 0.250 | 5.00 |  |
                """);
    }

    @Test
    void aRunOnTheSimulatedDeviceMeetsNoTarget() throws IOException {
        write("phases.tsv", "train-bf16\tok\t30\t\n");
        write("train-bf16.json", "{\"device\": \"simulated\", \"device_description\": \"none\", \"kb_per_s\": 9000}");
        assertThat(CheckTable.of(folder)).contains("| bf16 | megabyte4j |").doesNotContain("Targets");
    }

    @Test
    void singleOperationsHaveTargetsToo() throws IOException {
        write("phases.tsv", "kernel-times\tok\t30\t\n");
        write("kernels.json", """
                {"operations": [{"operation": "causalAttention", "shape": "1 x 4096, 16 heads of 64", "dtype": "bf16",
                 "tflop_per_s": 370.0}]}""");
        write("roofline-bf16.json", """
                {"median_ms": 20.0, "total": {"measured_us": 19000},
                 "operations": [{"operation": "adamW", "share": 0.9}]}""");
        assertThat(CheckTable.of(folder)).contains("""
                | training, benchmark, gaps' share of a step | at most 0.0300 | 0.0500 | **missed** |
                | training, AdamW, share of the copy's bandwidth | at least 0.850 | 0.900 | met |
                | attention, 1 x 4096, 16 heads of 64, TFLOP/s: FlashAttention-2 | at least 284 | 370 | met |
                | attention, 1 x 4096, 16 heads of 64, TFLOP/s: cuDNN | at least 363 | 370 | met |
                | attention, 1 x 4096, 16 heads of 64, TFLOP/s: FlashAttention-3 | at least 420 | 370 | **missed** |
                """);
    }

    @Test
    void untunedStepsAreOnThePageButNotInTheReport() throws IOException {
        write("phases.tsv", "train-untuned\tok\t30\t\n");
        write("train-untuned.json", "{\"batch\": 32}");
        CheckTable.main(new String[] {folder.toString()});
        assertThat(folder.resolve("table.md")).content().contains("| untuned | megabyte4j |");
        assertThat(Files.readAllLines(folder.resolve("gpu.jsonl"))).hasSize(1);
    }

    @Test
    void bothSidesOfEqualWorkAreALineForTheReport() throws IOException {
        write("phases.tsv", "train-bf16\tok\t30\t\n");
        write("train-bf16.json", """
                {"mode": "train", "device_description": "NVIDIA H200, compute capability 9.0", "java": "25",
                 "kb_per_s": 3}""");
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
