package org.megabyte4j.verify;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.model.ConfigJson;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;

class ModelCheckTest {
    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-one-patch", "megabyte-padding", "megabyte-patch-size-1",
        "megabyte-three-layers", "megabyte-head-64", "megabyte_in_action-basic", "megabyte_in_action-one-patch",
        "megabyte_in_action-padding", "megabyte_in_action-patch-size-1", "megabyte_in_action-three-layers",
        "megabyte_in_action-head-64"})
    void theModelInDoublePrecisionMeetsTheGoldenData(String name) throws IOException {
        assertThat(checks(name, DType.F32, new ReferenceBackend())).hasSizeGreaterThan(30)
                .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    }

    /** The tolerances of bf16 are twice what it costs by itself. */
    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-one-patch", "megabyte-padding", "megabyte-patch-size-1",
        "megabyte-three-layers", "megabyte_in_action-basic", "megabyte_in_action-one-patch",
        "megabyte_in_action-padding", "megabyte_in_action-patch-size-1", "megabyte_in_action-three-layers"})
    void plainBf16TakesHalfOfItsTolerances(String name) throws IOException {
        assertThat(checks(name, DType.BF16, ReferenceBackend.plainBf16())).hasSizeGreaterThan(30)
                .allSatisfy(check -> assertThat(check.error()).as(check.toString())
                        .isLessThanOrEqualTo(check.tolerance() / 2))
                .anySatisfy(check -> assertThat(check.error()).isGreaterThan(1e-3));
    }

    private static List<Check> checks(String name, DType dtype, ReferenceBackend device) throws IOException {
        Path folder = SharedData.golden(name);
        var config = ConfigJson.read(Files.readString(folder.resolve("config.json")), "config.json");
        try (ReferenceBackend backend = device;
                Parameters parameters = new Parameters(config, dtype);
                SafeTensorsFile weights = SafeTensorsFile.open(folder.resolve("model.safetensors"));
                SafeTensorsFile io = SafeTensorsFile.open(folder.resolve("io.safetensors"))) {
            parameters.allocate(backend);
            for (String parameter : parameters.layout().names()) {
                backend.write(parameters.get(parameter), weights.floats(parameter));
            }
            parameters.refresh(backend);
            return ModelCheck.run(parameters, backend, io);
        }
    }
}
