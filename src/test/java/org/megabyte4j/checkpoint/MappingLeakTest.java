package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.megabyte4j.backend.ReferenceBackend;

/** Files are mapped while they are open and not a moment longer, also where opening them fails. */
class MappingLeakTest {
    private static final Path MAPS = Path.of("/proc/self/maps");

    @TempDir
    Path folder;

    @BeforeEach
    void needsTheListOfMappings() {
        assumeTrue(Files.isReadable(MAPS), "skipped: this system does not list a process's mappings");
    }

    private static boolean isMapped(Path path) throws IOException {
        return Files.readString(MAPS).contains(path.toRealPath().toString());
    }

    @Test
    void safetensors() throws IOException {
        Path path = Files.copy(PyTorchFileTest.fixture("views.safetensors"), folder.resolve("a.safetensors"));
        try (var file = TensorFile.open(path)) {
            assertThat(isMapped(path)).isTrue();
            file.floats("whole");
        }
        assertThat(isMapped(path)).isFalse();
        Files.writeString(path, "not one, but long enough");
        assertThatThrownBy(() -> TensorFile.open(path)).isInstanceOf(CheckpointException.class);
        assertThat(isMapped(path)).isFalse();
    }

    @Test
    void pyTorch() throws IOException {
        Path path = Files.copy(PyTorchFileTest.fixture("views.bin"), folder.resolve("a.bin"));
        try (var file = TensorFile.open(path)) {
            assertThat(isMapped(path)).isTrue();
            file.floats("whole");
        }
        assertThat(isMapped(path)).isFalse();
        Path evil = Files.copy(PyTorchFileTest.fixture("runs-system.bin"), folder.resolve("b.bin"));
        assertThatThrownBy(() -> TensorFile.open(evil)).isInstanceOf(CheckpointException.class);
        assertThat(isMapped(evil)).isFalse();
    }

    @Test
    void models() throws IOException {
        Path weights = Files.copy(PyTorchFileTest.fixture("wrapper/pytorch_model.bin"),
                folder.resolve("pytorch_model.bin"));
        Path config = Files.copy(PyTorchFileTest.fixture("wrapper/config.json"), folder.resolve("config.json"));
        try (ReferenceBackend backend = new ReferenceBackend()) {
            ModelFiles.load(folder, backend, notice -> { }).close();
            assertThat(isMapped(weights)).isFalse();
            Files.writeString(config, Files.readString(config).replace("\"D_L\": 8", "\"D_L\": 16"));
            assertThatThrownBy(() -> ModelFiles.load(folder, backend, notice -> { }))
                    .isInstanceOf(CheckpointException.class).hasMessageContaining("does not match");
            assertThat(isMapped(weights)).isFalse();
        }
    }
}
