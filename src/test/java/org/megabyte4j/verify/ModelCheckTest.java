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

class ModelCheckTest {
    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-one-patch", "megabyte-padding", "megabyte-patch-size-1",
        "megabyte-three-layers", "megabyte-head-64", "megabyte_in_action-basic", "megabyte_in_action-one-patch",
        "megabyte_in_action-padding", "megabyte_in_action-patch-size-1", "megabyte_in_action-three-layers",
        "megabyte_in_action-head-64"})
    void theModelInDoublePrecisionMeetsTheGoldenData(String name) throws IOException {
        Path folder = SharedData.golden(name);
        var config = ConfigJson.read(Files.readString(folder.resolve("config.json")), "config.json");
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = new Parameters(config);
                SafeTensorsFile weights = SafeTensorsFile.open(folder.resolve("model.safetensors"));
                SafeTensorsFile io = SafeTensorsFile.open(folder.resolve("io.safetensors"))) {
            parameters.allocate(backend);
            for (String parameter : parameters.layout().names()) {
                backend.write(parameters.get(parameter), weights.floats(parameter));
            }
            List<Check> checks = ModelCheck.run(parameters, backend, io);
            assertThat(checks).hasSizeGreaterThan(30)
                    .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
        }
    }
}
