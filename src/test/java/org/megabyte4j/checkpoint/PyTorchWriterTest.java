package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.tensor.DType;

class PyTorchWriterTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"dtypes", "views", "nested"})
    void whatIsWrittenIsReadAgain(String name) throws IOException {
        Path path = folder.resolve("x.bin");
        try (TensorFile original = TensorFile.open(PyTorchFileTest.fixture(name + ".bin"))) {
            List<TensorSource> sources = new ArrayList<>();
            original.tensors().values().forEach(tensor -> sources.add(TensorSource.of(tensor)));
            new PyTorchWriter(sources).write(path);
            try (TensorFile copy = TensorFile.open(path)) {
                assertThat(copy.names()).containsExactlyElementsOf(original.names());
                for (String tensor : original.names()) {
                    assertThat(copy.tensor(tensor).dtype()).isEqualTo(original.tensor(tensor).dtype());
                    assertThat(copy.tensor(tensor).shape()).isEqualTo(original.tensor(tensor).shape());
                    assertThat(PyTorchFileTest.bytes(copy.tensor(tensor)))
                            .isEqualTo(PyTorchFileTest.bytes(original.tensor(tensor)));
                }
            }
            byte[] first = Files.readAllBytes(path);
            new PyTorchWriter(sources).write(path);
            assertThat(path).as("the same tensors give the same bytes").hasBinaryContent(first);
        }
        try (ZipFile zip = new ZipFile(path.toFile())) {
            assertThat(zip.stream().map(Object::toString)).contains("archive/data.pkl", "archive/version",
                    "archive/byteorder", "archive/data/0");
        }
    }

    /** Byte for byte a file that torch 2.13 was seen to load with weights_only=True. */
    @Test
    void writesTheFileThatPyTorchReads() {
        Path path = folder.resolve("x.bin");
        new PyTorchWriter(List.of(
                TensorSource.of("a", DType.F32, MemorySegment.ofArray(new float[] {1, -2.5f, 3, 4, 5, 6}), 2, 3),
                TensorSource.of("b", DType.I64, MemorySegment.ofArray(new long[] {7}))))
                .write(path);
        assertThat(path).hasSameBinaryContentAs(PyTorchFileTest.fixture("written.bin"));
    }

    @Test
    void storagesStartWhereTheyCanBeMapped() throws IOException {
        Path path = folder.resolve("x.bin");
        float[] values = {1.25f, 2.25f, 3.25f};
        new PyTorchWriter(List.of(TensorSource.of("a", DType.U8, MemorySegment.ofArray(new byte[3]), 3),
                TensorSource.of("b", DType.F32, MemorySegment.ofArray(values), 3))).write(path);
        assertThat(PyTorchFileTest.indexOf(Files.readAllBytes(path), MemorySegment.ofArray(values)) % 64).isZero();
    }

    @Test
    void aFailedWriteLeavesTheOldFile() throws IOException {
        Path path = Files.writeString(folder.resolve("x.bin"), "old");
        var broken = new TensorSource("a", DType.F32, new long[] {5}, (from, count, to) -> {
            throw new IllegalStateException("device lost");
        });
        assertThatThrownBy(() -> new PyTorchWriter(List.of(broken)).write(path)).hasMessage("device lost");
        assertThat(path).hasContent("old");
        assertThat(folder.toFile().list()).containsExactly("x.bin");
    }
}
