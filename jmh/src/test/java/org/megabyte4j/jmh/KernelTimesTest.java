package org.megabyte4j.jmh;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.tensor.DType;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import picocli.CommandLine;

class KernelTimesTest {
    @TempDir
    Path folder;

    @BeforeAll
    static void findTheSimulatedDevice() {
        if (System.getProperty("megabyte4j.simulator") == null) {
            System.setProperty("megabyte4j.simulator",
                    Path.of("../native-build/out/simulator").toAbsolutePath().toString());
        }
    }

    private static void requireSimulator() {
        assumeTrue(Files.exists(Path.of(System.getProperty("megabyte4j.simulator"), "libcuda.so.1")),
                "the simulated device is not built; make simulator builds it where g++ is");
        assumeTrue(CudaBackend.class.getResource("ptx") != null,
                "the kernels are not compiled; make kernels does that where nvcc is");
    }

    @Test
    void everyOperationRunsOnTheSimulatedDevice() throws IOException {
        requireSimulator();
        int status = new CommandLine(new KernelTimes()).execute("--device", "simulated", "--sizes", "tiny", "--replays",
                "2", "--out", folder.toString());
        JsonNode report = new ObjectMapper().readTree(folder.resolve("kernels.json").toFile());
        for (JsonNode row : report.path("operations")) {
            assertThat(row.path("failure").asText()).as(row.toString()).isEmpty();
            assertThat(row.path("median_us").asDouble()).isPositive();
            assertThat(row.path("launches").asLong()).isPositive();
        }
        assertThat(status).isZero();
        assertThat(Files.readString(folder.resolve("kernels.md")))
                .startsWith("**From the simulated device: these are not times of hardware.**");
    }

    @Test
    void everyOperationHasACase() {
        Set<String> named = new TreeSet<>();
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            KernelCases.of(KernelSizes.BENCHMARK, dtype).forEach(c -> named.add(c.operation().split(" ")[0]));
        }
        Set<String> operations = new TreeSet<>();
        Arrays.stream(Ops.class.getDeclaredMethods()).filter(m -> m.getReturnType() == void.class).map(Method::getName)
                .forEach(operations::add);
        assertThat(named).isEqualTo(operations);
    }

    /** The figures that the kernels' own files give for these shapes. */
    @Test
    void costsAreThoseOfTheFormulas() {
        // local_attention.cu: 4h(H + 1) + 4H bytes and 2hH(P + 1) FLOPs a position forward, 8h(H + 1) + 4H backward.
        var local = new AttentionShape(8192, 8, 4, 1, 64);
        assertThat(Cost.attention(local, DType.BF16))
                .isEqualTo(new Cost(65536L * (4 * 64 * 5 + 16), 65536.0 * 2 * 64 * 4 * 9));
        assertThat(Cost.attentionBackward(local, DType.BF16))
                .isEqualTo(new Cost(65536L * (8 * 64 * 5 + 16), 65536.0 * 5 * 64 * 4 * 9));
        assertThat(Cost.product(2, 3, 5, 7, DType.F32)).isEqualTo(new Cost(4 * (6 + 15 + 10 + 7), 60));
        assertThat(Cost.weightGradient(2, 3, 5, DType.BF16)).isEqualTo(new Cost(2 * 2 * 8 + 8 * 20, 60));
        // 15 positions in the cache and the new one: 16 keys and values in all.
        assertThat(Cost.cachedAttention(new AttentionShape(1, 1, 2, 1, 4), 15, DType.F32).flops())
                .isEqualTo(4.0 * 4 * 2 * 16);
    }

    @Test
    void theRooflineIsTheLongerOfMovingAndComputing() {
        Roofline roofline = new Roofline(1e12, Map.of(DType.F32, 1e13, DType.BF16, 1e14));
        Cost cost = new Cost(1_000_000, 2e7);
        assertThat(roofline.floor(cost, DType.F32)).isEqualTo(2.0);
        assertThat(roofline.isMemoryBound(cost, DType.F32)).isFalse();
        assertThat(roofline.floor(cost, DType.BF16)).isEqualTo(1.0);
        assertThat(roofline.isMemoryBound(cost, DType.BF16)).isTrue();
    }

    @Test
    void launchesAreMeasuredInEachWay() throws Exception {
        requireSimulator();
        System.setProperty("megabyte4j.device", "simulated");
        try {
            assertThat(new Runner(new OptionsBuilder().include("LaunchBenchmark").forks(0).warmupIterations(0)
                    .measurementIterations(1).measurementTime(TimeValue.milliseconds(1)).shouldFailOnError(true)
                    .build()).run()).hasSize(6);
        } finally {
            System.clearProperty("megabyte4j.device");
        }
    }
}
