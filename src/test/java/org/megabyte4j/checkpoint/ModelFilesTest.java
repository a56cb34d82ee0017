package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

class ModelFilesTest {
    private static final Consumer<String> NO_NOTICE = sentence -> {
        throw new AssertionError(sentence);
    };

    @TempDir
    Path folder;

    private final ReferenceBackend backend = new ReferenceBackend();

    /** Writes a native config.json and gives the weights by name. */
    private Map<String, TensorSource> asNative(ModelFile file) {
        ModelFiles.saveConfig(folder, file.config());
        Map<String, TensorSource> weights = new LinkedHashMap<>();
        file.sources().forEach(source -> weights.put(source.name(), source));
        return weights;
    }

    private void write(Map<String, TensorSource> weights) {
        new SafeTensorsWriter(List.copyOf(weights.values()), Map.of()).write(folder.resolve("model.safetensors"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte_in_action-basic", "megabyte-patch-size-1", "curve-adamw"})
    void loadsAndSavesTheReferencesModelsBitByBit(String name) throws IOException {
        Path golden = SharedData.golden(name);
        try (Parameters parameters = ModelFiles.load(golden, backend, NO_NOTICE);
             SafeTensorsFile file = SafeTensorsFile.open(golden.resolve("model.safetensors"))) {
            assertThat(parameters.layout().names()).containsExactlyInAnyOrderElementsOf(file.names());
            for (String parameter : file.names()) {
                assertThat(backend.readFloats(parameters.get(parameter))).isEqualTo(file.floats(parameter));
            }
            ModelFiles.save(folder.resolve("copy"), parameters, backend);
            new SafeTensorsWriter(TensorSource.of(parameters, backend), file.metadata()).write(folder.resolve("same"));
        }
        assertThat(folder.resolve("same")).hasSameBinaryContentAs(golden.resolve("model.safetensors"));
        assertThat(ModelFiles.config(folder.resolve("copy"), NO_NOTICE))
                .isEqualTo(ModelFiles.config(golden, NO_NOTICE));
    }

    @Test
    void readsACheckpointOfTheWrapperAndTellsAboutItsLocalHeads() {
        List<String> notices = new ArrayList<>();
        Path path = PyTorchFileTest.fixture("wrapper");
        try (Parameters parameters = ModelFiles.load(path, backend, notices::add);
             TensorFile file = TensorFile.open(path.resolve("pytorch_model.bin"))) {
            assertThat(parameters.config()).isEqualTo(
                    new MegabyteConfig(Variant.MEGABYTE, 12, 2, 4, 8, 16, 1, 2, 2, 2, 0.02, 10, 11));
            assertThat(notices).containsExactly(path.resolve("config.json")
                    + " was written by the Hugging Face wrapper, which builds as many local heads as"
                    + " local layers: l_nheads is 4, l_nlayers 2, and the weights"
                    + " inner_model.l_transformer.layers.0.0.to_kv.weight F32[8, 8] are those of 2 heads; it is read"
                    + " with 2");
            for (String name : parameters.layout().names()) {
                assertThat(backend.readFloats(parameters.get(name))).isEqualTo(file.floats("inner_model." + name));
            }
        }
    }

    @Test
    void theLocalHeadsOfTheWrapperCanBeChosen() {
        Path path = PyTorchFileTest.fixture("wrapper-in-action");
        try (ModelFile file = ModelFile.open(path, LocalHeads.LAYERS, NO_NOTICE)) {
            assertThat(file.config().localHeads()).isEqualTo(2);
            assertThat(file.config().variant()).isEqualTo(Variant.IN_ACTION);
        }
        assertThatThrownBy(() -> ModelFile.open(path, LocalHeads.FILE, NO_NOTICE))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("are those of 2 heads; use")
                .hasMessageEndingWith("use --hf-local-heads layers");
    }

    @Test
    void localHeadsOfTheWrapperNeedNotDivideTheWidth() {
        try (Parameters parameters = ModelFiles.load(PyTorchFileTest.fixture("wrapper-odd-heads"), backend, s -> { })) {
            assertThat(parameters.config().localHeads()).isEqualTo(3);
            assertThat(parameters.config().localHeadSize()).isEqualTo(2);
            assertThat(parameters.get("l_transformer.layers.0.0.to_q.weight").shape()).containsExactly(6, 8);
            ModelFiles.save(folder, parameters, backend);
            assertThat(ModelFiles.config(folder, NO_NOTICE)).isEqualTo(parameters.config());
        }
    }

    @Test
    void aModelTrainedNativelyAndSavedByTheWrapperKeepsItsHeads() throws IOException {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            write(asNative(file));
        }
        String config = Files.readString(PyTorchFileTest.fixture("wrapper/config.json"));
        Files.writeString(folder.resolve("config.json"), config.replace("\"l_nheads\": 4", "\"l_nheads\": 2")
                .replace("\"g_nlayers\": 1", "\"g_nlayers\": 1, \"pad_token_id\": 3"));
        assertThat(ModelFiles.config(folder, NO_NOTICE).localHeads()).isEqualTo(2);
        assertThat(ModelFiles.config(folder, NO_NOTICE).padId()).as("pad_id wins over pad_token_id").isEqualTo(10);
    }

    @Test
    void guessesTheVariantOfANativeConfigWithoutOne() throws IOException {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            write(asNative(file));
        }
        Path config = folder.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"variant\" : \"megabyte\",", ""));
        assertThat(Files.readString(config)).doesNotContain("variant");
        assertThat(ModelFiles.config(folder, NO_NOTICE).variant()).isEqualTo(Variant.MEGABYTE);
    }

    @Test
    void listsWhatDoesNotMatch() throws IOException {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            Map<String, TensorSource> weights = asNative(file);
            TensorSource bias = weights.remove("to_logits.bias");
            weights.put("extra", new TensorSource("extra", bias.dtype(), bias.shape(), bias.elements()));
            weights.put("gl_linear.1.bias", TensorSource.of("gl_linear.1.bias", DType.F32,
                    MemorySegment.ofArray(new float[6]), 2, 3));
            write(weights);
        }
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).isInstanceOf(CheckpointException.class)
                .hasMessage(folder.resolve("model.safetensors") + " does not match " + folder.resolve("config.json")
                        + " (megabyte): 1 missing (to_logits.bias); 1 unexpected (extra); 1 of another shape"
                        + " (gl_linear.1.bias is [2, 3] instead of [8])");
    }

    @Test
    void aConfigOfManyMoreLayersIsRefusedBeforeTheyAreLaidOut() throws IOException {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            write(asNative(file));
        }
        Path config = folder.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"g_nlayers\" : 1", "\"g_nlayers\" : 2000000000"));
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).isInstanceOf(CheckpointException.class)
                .hasMessageContaining("it has 40 tensors in all, too few for g_nlayers 2000000000");
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void refusesAWeightThatIsNoNumber(float bad) {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            Map<String, TensorSource> weights = asNative(file);
            float[] values = file.tensor("gl_linear.1.weight").floats();
            values[17] = bad;
            weights.put("gl_linear.1.weight", TensorSource.of("gl_linear.1.weight", DType.F32,
                    MemorySegment.ofArray(values), 8, 4));
            write(weights);
        }
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).isInstanceOf(CheckpointException.class)
                .hasMessage(folder.resolve("model.safetensors") + ": the tensor gl_linear.1.weight F32[8, 4] holds NaN"
                        + " or infinity; a model with such a weight cannot work");
    }

    @Test
    void aWeightTooLargeForTheTypeToWriteIsASentenceAndLeavesNothing() throws IOException {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            Map<String, TensorSource> weights = asNative(file);
            weights.put("to_logits.bias", TensorSource.of("to_logits.bias", DType.F32,
                    MemorySegment.ofArray(new float[] {70000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 12));
            write(weights);
        }
        try (ModelFile file = ModelFile.open(folder, LocalHeads.AUTO, NO_NOTICE)) {
            Path target = folder.resolve("half");
            assertThatThrownBy(() -> ModelFiles.write(target, file, WeightFormat.SAFETENSORS, DType.F16, false))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessage("the tensor to_logits.bias has a value that is too large for F16; use BF16 or F32");
            assertThat(target).isEmptyDirectory();
        }
    }

    @Test
    void finiteIsToldFromNotFiniteInEveryType() {
        double[] finite = {0, -0.0, 1, -65504, 6e-8, 1e-45};
        for (DType type : List.of(DType.F32, DType.F64, DType.F16, DType.BF16)) {
            MemorySegment data = MemorySegment.ofArray(new long[finite.length]);
            ElementTypes.convert(DType.F64, MemorySegment.ofArray(finite), type, data, finite.length);
            assertThat(ElementTypes.allFinite(type, data, finite.length)).as(type + " finite").isTrue();
            for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 1e300}) {
                double[] values = finite.clone();
                values[3] = bad;
                ElementTypes.convert(DType.F64, MemorySegment.ofArray(values), type, data, finite.length);
                assertThat(ElementTypes.allFinite(type, data, finite.length)).as(type + " " + bad)
                        .isEqualTo(type == DType.F64 && bad == 1e300);
            }
        }
    }

    @Test
    void refusesIntegerWeights() {
        try (ModelFile file = ModelFile.open(PyTorchFileTest.fixture("wrapper"), LocalHeads.LAYERS, NO_NOTICE)) {
            Map<String, TensorSource> weights = asNative(file);
            weights.put("to_logits.bias", TensorSource.of("to_logits.bias", DType.I64,
                    MemorySegment.ofArray(new long[12]), 12));
            write(weights);
        }
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE))
                .hasMessageEndingWith("the tensor to_logits.bias I64[12] holds integers, not weights");
    }

    @Test
    void saysWhatAFolderLacks() throws IOException {
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).hasMessage(folder
                + " holds no model: there is neither model.safetensors nor pytorch_model.bin");
        assertThatThrownBy(() -> ModelFiles.load(folder.resolve("none"), backend, NO_NOTICE))
                .hasMessage(folder.resolve("none") + " does not exist");
        Files.writeString(folder.resolve("model.safetensors.index.json"), "{}");
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE))
                .hasMessageContaining("holds a model in several files (model.safetensors.index.json)");
        Files.writeString(folder.resolve("model.safetensors"), "");
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE))
                .hasMessage(folder.resolve("model.safetensors") + " has no config.json beside it, which tells the"
                        + " model's sizes");
        Files.writeString(folder.resolve("config.json"), "[]");
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).isInstanceOf(CheckpointException.class)
                .hasMessageContaining("it has 0 bytes");
        new SafeTensorsWriter(List.of(), Map.of()).write(folder.resolve("model.safetensors"));
        assertThatThrownBy(() -> ModelFiles.load(folder, backend, NO_NOTICE)).isInstanceOf(ConfigException.class)
                .hasMessage(folder.resolve("config.json") + " is not a model configuration: it is not a JSON object");
    }
}
