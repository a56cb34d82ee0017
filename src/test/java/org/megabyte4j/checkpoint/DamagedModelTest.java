package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;

/** Whole models of which a file is damaged: what the user reads, and that nothing else is taken for the model. */
class DamagedModelTest {
    private static final MegabyteConfig CONFIG = new MegabyteConfig(Variant.MEGABYTE, 12, 2, 4, 6, 8, 1, 2, 1, 2, 0.02,
            10, 11);

    @TempDir
    Path folder;

    private Path weights;
    private Path config;
    private byte[] goodWeights;
    private byte[] goodConfig;

    @BeforeEach
    void save() throws IOException {
        weights = folder.resolve("model.safetensors");
        config = folder.resolve("config.json");
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(CONFIG, backend, 1)) {
            ModelFiles.save(folder, parameters, backend);
        }
        goodWeights = Files.readAllBytes(weights);
        goodConfig = Files.readAllBytes(config);
    }

    /** All weights by name, checked as loading a model checks them. */
    private Map<String, float[]> read() {
        try (ModelFile file = ModelFile.open(folder, LocalHeads.AUTO, notice -> { })) {
            file.requireFinite();
            assertThat(file.config()).isEqualTo(CONFIG);
            Map<String, float[]> values = new HashMap<>();
            file.sources().forEach(source -> values.put(source.name(), file.tensor(source.name()).floats()));
            return values;
        }
    }

    private void assertRefused(String message) {
        assertThatThrownBy(this::read).isInstanceOf(MegabyteException.class).hasMessage(message);
    }

    private int headerBytes() {
        return 8 + (int) ByteBuffer.wrap(goodWeights).order(ByteOrder.LITTLE_ENDIAN).getLong();
    }

    private static void assertSame(Map<String, float[]> actual, Map<String, float[]> expected) {
        assertThat(actual.keySet()).isEqualTo(expected.keySet());
        expected.forEach((name, values) -> assertThat(actual.get(name)).as(name).isEqualTo(values));
    }

    @Test
    void aFileThatWasCutShort() throws IOException {
        long dataBytes = goodWeights.length - headerBytes();
        Files.write(weights, Arrays.copyOf(goodWeights, goodWeights.length - 1));
        assertThatThrownBy(this::read).isInstanceOf(CheckpointException.class).hasMessageMatching("\\Q" + weights
                + "\\E is not a valid safetensors file: the data_offsets of the tensor \\S+, \\d+ to " + dataBytes
                + ", are not within the " + (dataBytes - 1) + " bytes of data; the file may be truncated");
        Files.write(weights, Arrays.copyOf(goodWeights, 100));
        assertRefused(weights + " is truncated or no safetensors file: its header would have " + (headerBytes() - 8)
                + " bytes, but only 92 follow");
    }

    @Test
    void aFileOfAnyOtherLengthIsRefused() throws IOException {
        for (int length = 0; length < goodWeights.length; length += length < headerBytes() ? 11 : 37) {
            Files.write(weights, Arrays.copyOf(goodWeights, length));
            assertThatThrownBy(this::read).as(length + " bytes").isInstanceOf(CheckpointException.class);
        }
        Files.write(weights, Arrays.copyOf(goodWeights, goodWeights.length + 5));
        assertRefused(weights + " is not a valid safetensors file: 5 bytes at the end belong to no tensor");
    }

    @Test
    void aHeaderThatWouldBeLargerThanTheFile() throws IOException {
        byte[] bytes = goodWeights.clone();
        bytes[5] = 1;
        Files.write(weights, bytes);
        assertRefused(weights + " is no safetensors file: its header would have " + (headerBytes() - 8 + (1L << 40))
                + " bytes, and at most 100000000 are allowed");
    }

    @Test
    void aFileOfNothingButNaN() throws IOException {
        byte[] bytes = goodWeights.clone();
        Arrays.fill(bytes, headerBytes(), bytes.length, (byte) 0xFF);
        Files.write(weights, bytes);
        assertRefused(weights + ": the tensor g_embedder.weight F32[12, 4] holds NaN or infinity; a model with such a"
                + " weight cannot work");
    }

    @Test
    void aConfigurationOfAnotherModel() throws IOException {
        Files.writeString(config, new String(goodConfig, StandardCharsets.UTF_8)
                .replace("\"V\" : 12", "\"V\" : 13"));
        assertRefused(weights + " does not match " + config + " (megabyte): 4 of another shape (g_embedder.weight is"
                + " [12, 4] instead of [13, 4], l_embedder.weight is [12, 6] instead of [13, 6], to_logits.weight is"
                + " [12, 6] instead of [13, 6], to_logits.bias is [12] instead of [13])");
    }

    /** Data bits have no checksum in this format; a run folder has one of each file. */
    @Test
    void noFlippedBitOfAHeaderChangesAModel() throws IOException {
        Map<String, float[]> expected = read();
        int refused = 0;
        int flips = 0;
        for (int bit = 0; bit < 8 * headerBytes(); bit += 23) {
            byte[] bytes = goodWeights.clone();
            bytes[bit / 8] ^= (byte) (1 << bit % 8);
            Files.write(weights, bytes);
            flips++;
            try {
                assertSame(read(), expected);
            } catch (CheckpointException e) {
                refused++;
                assertThat(e).hasMessageContaining(weights.toString());
            }
        }
        // What is not refused lies in the metadata.
        assertThat(refused).isGreaterThan(flips * 9 / 10);
    }

    @ParameterizedTest
    @EnumSource
    void mutatedModelsAreLoadedOrRefusedWithASentence(WeightFormat format) throws IOException {
        if (format == WeightFormat.PYTORCH) {
            try (ModelFile file = ModelFile.open(folder, LocalHeads.AUTO, notice -> { })) {
                ModelFiles.write(folder, file, format, null, true);
            }
            Files.delete(weights);
        }
        Path written = folder.resolve(format.fileName());
        byte[] good = Files.readAllBytes(written);
        Map<String, float[]> expected = read();
        int loaded = 0;
        int tries = 300;
        for (int i = 0; i < tries; i++) {
            var mutator = new Mutator(i);
            boolean ofConfig = mutator.next(3) == 0;
            Files.write(config, ofConfig ? mutator.mutate(goodConfig) : goodConfig);
            Files.write(written, ofConfig ? good : mutator.mutate(good));
            try (ModelFile file = ModelFile.open(folder, LocalHeads.AUTO, notice -> { })) {
                file.requireFinite();
                loaded++;
                if (format == WeightFormat.PYTORCH) {
                    // Its checksums cover every element.
                    expected.forEach((name, values) -> assertThat(file.tensor(name).floats()).as(name)
                            .isEqualTo(values));
                }
            } catch (MegabyteException e) {
                assertThat(e.getMessage()).contains(folder.toString()).doesNotContain("\n").hasSizeLessThan(2000);
            }
        }
        assertThat(loaded).as("loaded of " + tries).isBetween(tries / 100, tries * 2 / 3);
    }
}
