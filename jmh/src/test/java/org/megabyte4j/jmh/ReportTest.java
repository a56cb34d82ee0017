package org.megabyte4j.jmh;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openjdk.jmh.results.format.ResultFormatType;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

class ReportTest {
    @TempDir
    Path folder;

    @Test
    void oneRowForEachResultWithThreeDigitsThatCount() throws IOException {
        Path json = Files.writeString(folder.resolve("jmh.json"), """
                [{"benchmark": "org.megabyte4j.jmh.LinearBenchmark.forward", "vmVersion": "25.0.1",
                  "params": {"shape": "2x3x4", "bias": "NONE"},
                  "primaryMetric": {"score": 12345.678, "scoreError": 0.98765, "scoreUnit": "us/op"}},
                 {"benchmark": "org.megabyte4j.jmh.TrainingStepBenchmark.step", "vmVersion": "25.0.1",
                  "primaryMetric": {"score": 0.0123456, "scoreError": "NaN", "scoreUnit": "ms/op"}}]
                """);
        assertThat(Report.markdown(json, "cpu: 2 threads")).isEqualTo("""
                Java 25.0.1; cpu: 2 threads

                | benchmark | parameters | mean | ± 99.9 % | unit |
                |---|---|--:|--:|---|
                | Linear.forward | shape 2x3x4, bias NONE | 12,346 | 0.988 | us/op |
                | TrainingStep.step |  | 0.0123 |  | ms/op |
                """);
    }

    /** Every benchmark at its smallest: none fails, and JMH's own JSON is understood. */
    @Test
    void everyBenchmarkRunsOnATinyModel() throws Exception {
        Path json = folder.resolve("jmh.json");
        int benchmarks = 0;
        for (String[] arguments : new String[][] {
            {"Linear|Gelu", "shape", "3x8x5"}, {"LayerNorm|CrossEntropy", "shape", "3x300"},
            {"Attention", "shape", "2x3x2x4"}, {"Optimizer", "preset", "tiny"}, {"Generation", "preset", "tiny"},
            {"TrainingStep", "model", "tiny 1x64"}}) {
            benchmarks += new Runner(new OptionsBuilder().include(arguments[0]).param(arguments[1], arguments[2])
                    .forks(0).warmupIterations(0).measurementIterations(1).measurementTime(TimeValue.milliseconds(1))
                    .shouldFailOnError(true).resultFormat(ResultFormatType.JSON).result(json.toString()).build())
                    .run().size();
        }
        assertThat(benchmarks).isEqualTo(3 + 2 + 2 + 2 + 4 + 4 + 4 + 1);
        assertThat(Report.markdown(json, "cpu").lines()).hasSize(5)
                .last().asString().matches("\\| TrainingStep\\.step \\| model tiny 1x64 \\| [0-9.,]+ \\|  \\| ms/op \\|");
    }
}
