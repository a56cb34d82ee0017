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
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
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

    @Test
    void launchesAreMeasuredInEachWay() throws Exception {
        requireSimulator();
        System.setProperty("megabyte4j.device", "simulated");
        try {
            assertThat(new Runner(new OptionsBuilder().include("LaunchBenchmark").param("shape", "1x64")
                    .forks(0).warmupIterations(0)
                    .measurementIterations(1).measurementTime(TimeValue.milliseconds(1)).shouldFailOnError(true)
                    .build()).run()).hasSize(7);
        } finally {
            System.clearProperty("megabyte4j.device");
        }
    }
}
