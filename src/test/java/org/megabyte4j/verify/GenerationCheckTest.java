package org.megabyte4j.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

class GenerationCheckTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @EnumSource
    void theModelInDoublePrecisionMeetsTheGoldenSequences(Variant variant) throws IOException {
        meetsTheGoldenSequences(variant, DType.F32, new ReferenceBackend());
    }

    @ParameterizedTest
    @EnumSource
    void plainBf16TakesHalfOfItsTolerances(Variant variant) throws IOException {
        assertThat(checks(variant, DType.BF16, ReferenceBackend.plainBf16())).hasSize(3 * 7).allSatisfy(check ->
                assertThat(check.error()).as(check.toString()).isLessThanOrEqualTo(check.tolerance() / 2));
    }

    @ParameterizedTest
    @EnumSource
    void theModelOnTheCpuMeetsTheGoldenSequences(Variant variant) throws IOException {
        meetsTheGoldenSequences(variant, DType.F32, CpuBackend.open(2));
    }

    private static void meetsTheGoldenSequences(Variant variant, DType dtype, Backend device) throws IOException {
        assertThat(checks(variant, dtype, device)).hasSize(3 * 7)
                .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    }

    private static List<Check> checks(Variant variant, DType dtype, Backend device) throws IOException {
        Path golden = SharedData.golden(variant.id() + "-generation");
        var config = ConfigJson.read(Files.readString(golden.resolve("config.json")), "config.json");
        try (Backend backend = device;
                Parameters parameters = new Parameters(config, dtype);
                SafeTensorsFile weights = SafeTensorsFile.open(golden.resolve("model.safetensors"))) {
            parameters.allocate(backend);
            for (String name : parameters.layout().names()) {
                backend.write(parameters.get(name), weights.floats(name));
            }
            parameters.refresh(backend);
            return GenerationCheck.run(parameters, backend, golden.resolve("generation.json"));
        }
    }

    @Test
    void aWrongIdFails() throws IOException {
        List<Check> checks = run("""
                {"sequences": [{"mode": "aligned", "prompt": [], "ids": [-1, -1],
                                "top_logit": [0, 0], "top2_gap": [0, 0]}]}""");
        assertThat(checks.getFirst()).isEqualTo(new Check("generation aligned, prompt of 0: wrong ids", 2, 0));
        assertThat(checks).noneMatch(Check::passed);
    }

    @Test
    void unusableFilesAreRefused() {
        assertRefused("{}", "holds no \"sequences\" to compare with");
        assertRefused("{\"sequences\": [null]}", "holds a sequence without prompt or ids, or without one top_logit and"
                + " top2_gap for each of its ids");
        assertRefused("""
                {"sequences": [{"mode": "sideways", "prompt": [], "ids": [1], "top_logit": [0], "top2_gap": [0]}]}""",
                "holds a sequence of the mode \"sideways\"; use \"aligned\" or \"reference\"");
        assertThatThrownBy(() -> run("{\"sequences\": [[]]}")).isInstanceOf(CheckpointException.class)
                .hasMessageContaining("generation.json is not valid: ");
    }

    private void assertRefused(String json, String message) {
        assertThatThrownBy(() -> run(json)).isInstanceOf(CheckpointException.class)
                .hasMessage(folder.resolve("generation.json") + " " + message);
    }

    private List<Check> run(String json) throws IOException {
        Path file = Files.writeString(folder.resolve("generation.json"), json);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(TestModels.config(Variant.IN_ACTION, 2), backend, 1)) {
            return GenerationCheck.run(parameters, backend, file);
        }
    }
}
