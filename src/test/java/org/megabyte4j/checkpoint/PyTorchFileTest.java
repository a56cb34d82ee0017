package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files that PyTorch wrote; see make_fixtures.py beside them. */
class PyTorchFileTest {
    static Path fixture(String name) {
        try {
            return Path.of(PyTorchFileTest.class.getResource("/pytorch/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalArgumentException(name, e);
        }
    }

    static byte[] bytes(StoredTensor tensor) {
        byte[] bytes = new byte[(int) tensor.bytes()];
        tensor.read(0, tensor.elements(), MemorySegment.ofArray(bytes));
        return bytes;
    }

    @ParameterizedTest
    @ValueSource(strings = {"dtypes", "views", "nested", "parameters", "without-checksums"})
    void readsTheSameTensorsAsPyTorch(String name) {
        try (var actual = TensorFile.open(fixture(name + ".bin"));
             var expected = SafeTensorsFile.open(fixture(name + ".safetensors"))) {
            assertThat(actual.names()).containsExactlyInAnyOrderElementsOf(expected.names());
            for (String tensor : expected.names()) {
                assertThat(actual.tensor(tensor).dtype()).as(tensor).isEqualTo(expected.tensor(tensor).dtype());
                assertThat(actual.tensor(tensor).shape()).as(tensor).isEqualTo(expected.tensor(tensor).shape());
                assertThat(bytes(actual.tensor(tensor))).as(tensor).isEqualTo(bytes(expected.tensor(tensor)));
            }
        }
    }

    @Test
    void readsAnyPartOfAStridedView() {
        try (var file = PyTorchFile.open(fixture("views.bin"))) {
            StoredTensor view = file.tensor("transposed");
            assertThat(view.isContiguous()).isFalse();
            float[] all = view.floats();
            for (int from = 0; from <= all.length; from++) {
                for (int count = 0; count <= all.length - from; count++) {
                    float[] part = new float[count];
                    view.read(from, count, MemorySegment.ofArray(part));
                    assertThat(part).isEqualTo(Arrays.copyOfRange(all, from, from + count));
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(delimiter = '|', textBlock = """
            runs-system|asks to run posix.system; only tensors are read from such a file, and nothing in it is run.
            runs-eval|asks to run __builtin__.eval; only
            whole-module|asks to run __main__.Secret; only
            legacy|has the format of PyTorch before 1.6, which is not read; load it in PyTorch and save it again
            big-endian|was saved on a big-endian machine
            compressed|has the compressed entry views/data.pkl
            no-pickle|is no file of torch.save: it has no data.pkl
            tensor-alone|holds no dictionary of named tensors
            expanded|the tensor x of shape [1000] with strides [0] from element 0 on is not within the 1 elements of its
            """)
    void refusesWithASentence(String name, String message) {
        Path path = fixture(name + ".bin");
        assertThatThrownBy(() -> TensorFile.open(path)).isInstanceOf(CheckpointException.class)
                .hasMessageStartingWith(path.toString()).hasMessageContaining(message);
    }

    @Test
    void everyFlippedBitOfAStorageIsNoticed(@TempDir Path folder) throws IOException {
        byte[] good = Files.readAllBytes(fixture("views.bin"));
        int noticed = 0;
        try (var file = PyTorchFile.open(fixture("views.bin"))) {
            float[] whole = file.floats("whole");
            int start = indexOf(good, MemorySegment.ofArray(whole));
            for (int i = 0; i < 4 * whole.length; i++) {
                byte[] bad = good.clone();
                bad[start + i] ^= (byte) (1 << i % 8);
                Path path = Files.write(folder.resolve("bad.bin"), bad);
                assertThatThrownBy(() -> PyTorchFile.open(path)).isInstanceOf(CheckpointException.class)
                        .hasMessageMatching(".* is damaged: the checksum of its entry views/data/\\d does not match");
                noticed++;
            }
        }
        assertThat(noticed).isEqualTo(240);
    }

    static int indexOf(byte[] all, MemorySegment part) {
        MemorySegment bytes = MemorySegment.ofArray(all);
        for (int i = 0; i + part.byteSize() <= all.length; i++) {
            if (bytes.asSlice(i, part.byteSize()).mismatch(part) < 0) {
                return i;
            }
        }
        throw new AssertionError("the elements are not in the file");
    }

    @Test
    void refusesATruncatedFileAtAnyLength(@TempDir Path folder) throws IOException {
        byte[] good = Files.readAllBytes(fixture("parameters.bin"));
        for (int length = 0; length < good.length; length++) {
            Path path = Files.write(folder.resolve("cut.bin"), Arrays.copyOf(good, length));
            assertThatThrownBy(() -> TensorFile.open(path)).isInstanceOf(CheckpointException.class);
        }
    }
}
