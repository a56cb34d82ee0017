package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.checkpoint.SafeTensorsWriter;
import org.megabyte4j.checkpoint.TensorSource;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

/** A generation that is saved, and goes on elsewhere: equality of everything, scores included, in every bit. */
class GenerationStateTest {
    private static final int PATCH = 4;
    private static final int NEW_IDS = 3 * PATCH - 1;
    private static final SamplingOptions RANDOM = SamplingOptions.random(6).withTemperature(1.5)
            .withRepetitionPenalty(1.3).withTopP(0.95);

    @TempDir
    private Path folder;

    private final CpuBackend backend = CpuBackend.open(2);

    @AfterEach
    void close() {
        backend.close();
    }

    /** No prompt, parts of patches, whole patches, and more of them than a block of prefill has. */
    private static List<int[]> prompts() {
        return IntStream.of(0, 5, 17 * PATCH + 3, 2 * PATCH, 3).mapToObj(n -> TestModels.ids(n, 20, n)).toList();
    }

    private static GenerationRequest request(SamplingOptions sampling) {
        return new GenerationRequest(prompts(), NEW_IDS, sampling, true, true);
    }

    private static Parameters model(Variant variant, Backend backend, long seed) {
        MegabyteConfig config = TestModels.config(variant, PATCH).withMaxLength(30 * PATCH);
        Parameters parameters = TestModels.random(config, backend, seed);
        float[] bias = new float[29];
        bias[28] = 0.5f;    // some sequences meet eos
        backend.write(parameters.get("to_logits.bias"), bias);
        return parameters;
    }

    /** In steps of a few ids, through a new generator each time. */
    private List<Generated> inPieces(Backend device, Parameters parameters, GenerationRequest request,
            Alignment alignment, DType weights, int batch, int idsEach) {
        Path file = folder.resolve("state");
        boolean begun = false;
        while (true) {
            try (Generator generator = Generator.forRequest(request, device, parameters, batch, alignment, weights);
                    GenerationState state = begun ? GenerationState.open(file) : null;
                    Generation generation = begun ? generator.resume(state) : generator.start(request)) {
                for (int i = 0; i < idsEach && generation.hasNext(); i++) {
                    generation.next();
                }
                generation.save(file);
                begun = true;
                if (generation.isFinished()) {
                    return generation.results();
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void resumedAnywhereIsTheSameAsUninterrupted(Variant variant) {
        try (Parameters parameters = model(variant, backend, 3)) {
            resumesEvery(new int[] {1, 7}, backend, parameters, request(RANDOM));
            resumesEvery(new int[] {6}, backend, parameters, request(SamplingOptions.greedy()));
            resumesEvery(new int[] {5}, WorkingAhead.of(backend), parameters, request(RANDOM));
            // Without scores it is patches ahead of what is saved.
            resumesEvery(new int[] {3}, WorkingAhead.of(backend), parameters, request(RANDOM).withScores(false));
        }
    }

    private void resumesEvery(int[] counts, Backend device, Parameters parameters, GenerationRequest request) {
        try (Generator generator = Generator.forRequest(request, device, parameters, 3, Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            for (int ids : counts) {
                SameBits.check("saved every " + ids + " ids", inPieces(device, parameters, request, Alignment.ALIGNED,
                        DType.F32, 3, ids), whole);
            }
        }
    }

    /** What has been read from a file is there before it has been used. */
    @Test
    void resumedAndSavedAtOnceLosesNothing() {
        GenerationRequest request = request(RANDOM);
        Path again = folder.resolve("again");
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3);
                Generator generator = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED)) {
            List<Generated> whole = generator.generate(request);
            Path file = save(parameters, request, 20);
            try (GenerationState state = GenerationState.open(file); Generation resumed = generator.resume(state)) {
                resumed.save(again);
                assertThat(again).hasSameBinaryContentAs(file);
                resumed.save(file);
            }
            try (GenerationState state = GenerationState.open(file); Generation resumed = generator.resume(state)) {
                SameBits.check("saved twice", resumed.run(IdListener.SILENT), whole);
            }
        }
    }

    @Test
    void theOtherAlignmentAndOtherWeightsCanBeSavedToo() {
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            GenerationRequest request = request(RANDOM);
            try (Generator reference = Generator.forRequest(request, backend, parameters, 1, Alignment.REFERENCE);
                    Generator rounded = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED,
                            DType.BF16)) {
                SameBits.check("reference", inPieces(backend, parameters, request, Alignment.REFERENCE, DType.F32, 1,
                        11), reference.generate(request));
                SameBits.check("bf16 weights", inPieces(backend, parameters, request, Alignment.ALIGNED, DType.BF16, 5,
                        11), rounded.generate(request));
            }
        }
    }

    @Test
    void aFinishedGenerationCanBecomeLonger() {
        try (Parameters parameters = model(Variant.MEGABYTE, backend, 3)) {
            GenerationRequest request = request(RANDOM);
            GenerationRequest longer = request.withNewIds(NEW_IDS + 6);
            Path file = save(parameters, request, 1000);
            try (Generator generator = Generator.forRequest(longer, backend, parameters, 5, Alignment.ALIGNED);
                    GenerationState state = GenerationState.open(file)) {
                assertThat(state.isFinished()).isTrue();
                assertThat(state.withNewIds(NEW_IDS + 6).isFinished()).isFalse();
                assertThat(state.results()).noneMatch(generated -> generated.end() == Generated.End.LENGTH);
                List<Generated> results;
                try (Generation resumed = generator.resume(state.withNewIds(NEW_IDS + 6))) {
                    results = resumed.run(IdListener.SILENT);
                }
                SameBits.check("longer", results, generator.generate(longer));
                assertThatThrownBy(() -> state.withNewIds(2)).isInstanceOf(GenerationException.class)
                        .hasMessage(file + " holds a continuation of 11 bytes already; ask for at least as many instead"
                                + " of 2");
            }
        }
    }

    /** Saved after some ids, by a generator of one group. */
    private Path save(Parameters parameters, GenerationRequest request, int ids) {
        Path file = folder.resolve("saved");
        try (Generator generator = Generator.forRequest(request, backend, parameters, 5, Alignment.ALIGNED);
                Generation generation = generator.start(request)) {
            for (int i = 0; i < ids && generation.hasNext(); i++) {
                generation.next();
            }
            generation.save(file);
        }
        return file;
    }

    @Test
    void theFileIsSafetensorsWithOnlyTheFilledCaches() {
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            GenerationRequest request = request(RANDOM);
            Path file = save(parameters, request, 2);
            try (SafeTensorsFile tensors = SafeTensorsFile.open(file);
                    GenerationState state = GenerationState.open(file)) {
                assertThat(tensors.metadata()).containsOnlyKeys("generation");
                assertThat(tensors.ints("ids")).startsWith(state.results().getFirst().ids());
                assertThat(tensors.tensor("cache.2.1").shape()).containsExactly(17, 2 * 12);
                assertThat(tensors.tensor("cache.0.0").shape()).containsExactly(0, 2 * 12);
                assertThat(state.request().prompts()).usingRecursiveComparison().isEqualTo(prompts());
                assertThat(state.request().sampling()).isEqualTo(RANDOM);
                assertThat(state.alignment()).isEqualTo(Alignment.ALIGNED);
                assertThat(state.isFinished()).isFalse();
            }
        }
    }

    @Test
    void whatDoesNotFitIsRefusedWithWhatDiffers() {
        GenerationRequest request = request(RANDOM);
        Path file;
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            file = save(parameters, request, 4);
            assertRefused(file, new Generator(backend, parameters, 4, 120),
                    " was saved with 5 sequences side by side, but this generator has 4; use as many");
            assertRefused(file, new Generator(backend, parameters, 5, 40),
                    "the request needs sequences of 82 bytes, but this generator is planned for 40; plan it for 82");
            assertRefused(file, new Generator(backend, parameters, 5, 120, Alignment.REFERENCE, DType.F32),
                    " was generated with the alignment aligned, but here it is reference; use the alignment aligned");
            assertRefused(file, new Generator(backend, parameters, 5, 120, Alignment.ALIGNED, DType.BF16),
                    " was generated with weights in float32, but here it is bf16; use --weights float32");
        }
        try (Parameters other = model(Variant.IN_ACTION, backend, 4)) {
            assertThatThrownBy(() -> resume(file, new Generator(backend, other, 5, 120)))
                    .isInstanceOf(GenerationException.class)
                    .hasMessageMatching(".* was generated with a model whose weights have the checksum [0-9a-f]{8}, but"
                            + " here it is [0-9a-f]{8}; use the same model");
        }
        try (Parameters other = model(Variant.MEGABYTE, backend, 3)) {
            assertRefused(file, new Generator(backend, other, 5, 120), " was generated with a model with variant"
                    + " megabyte_in_action, but here it is megabyte; use the same model");
        }
        MegabyteConfig wider = new MegabyteConfig(Variant.IN_ACTION, 29, PATCH, 6, 20, 120, 2, 2, 2, 2, 0.02, 27, 28);
        try (Parameters other = TestModels.random(wider, backend, 3)) {
            assertRefused(file, new Generator(backend, other, 5, 120),
                    " was generated with a model with D_L 10, but here it is 20; use the same model");
        }
    }

    /** The last id of the file, a generated one, becomes one that no model knows. */
    @Test
    void anIdThatTheModelDoesNotKnowIsRefused() throws IOException {
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            Path file = save(parameters, request(RANDOM).withScores(false), 9);
            byte[] bytes = Files.readAllBytes(file);
            Arrays.fill(bytes, bytes.length - 4, bytes.length, (byte) -1);
            Files.write(file, bytes);
            assertThatThrownBy(() -> resume(file, new Generator(backend, parameters, 5, 120)))
                    .isInstanceOf(MegabyteException.class).hasMessageContaining("id -1 at index");
        }
    }

    private void assertRefused(Path file, Generator generator, String message) {
        assertThatThrownBy(() -> resume(file, generator)).isInstanceOf(GenerationException.class)
                .hasMessage(message.startsWith(" ") ? file + message : message);
    }

    private static void resume(Path file, Generator generator) {
        try (generator;
                GenerationState state = GenerationState.open(file);
                Generation resumed = generator.resume(state)) {
            resumed.next();
        }
    }

    @Test
    void damagedFilesAreRefused() throws IOException {
        Path file;
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            file = save(parameters, request(RANDOM), 4);
            Path model = folder.resolve("model.safetensors");
            new SafeTensorsWriter(TensorSource.of(parameters, backend), Map.of()).write(model);
            assertThatThrownBy(() -> GenerationState.open(model)).isInstanceOf(CheckpointException.class)
                    .hasMessage(model + " is no saved generation: it has no note \"generation\"; use a file that"
                            + " generate --save-state has written");
        }
        byte[] good = Files.readAllBytes(file);
        for (String change : List.of("version\\\":1|version\\\":2", "newIds\\\":11|newIds\\\":00",
                "batch\\\":5|batch\\\":0",
                "prompt\\\":5|prompt\\\":6", "ALIGNED|ELIGNED", "\\\"first|\\\"worst")) {
            String[] words = change.split("\\|");
            String text = new String(good, StandardCharsets.ISO_8859_1);
            assertThat(text).contains(words[0]);
            Files.write(file, text.replace(words[0], words[1]).getBytes(StandardCharsets.ISO_8859_1));
            assertThatThrownBy(() -> GenerationState.open(file)).as(change).isInstanceOf(CheckpointException.class)
                    .hasMessageStartingWith(file + " is damaged or no saved generation: ");
        }
        Files.write(file, Arrays.copyOf(good, good.length / 2));
        assertThatThrownBy(() -> GenerationState.open(file)).isInstanceOf(CheckpointException.class);
    }

    @Test
    void nothingIsLeftBesideTheFile() throws IOException {
        try (Parameters parameters = model(Variant.IN_ACTION, backend, 3)) {
            save(parameters, request(RANDOM), 4);
            save(parameters, request(RANDOM), 5);
            try (Stream<Path> files = Files.list(folder)) {
                assertThat(files).containsExactly(folder.resolve("saved"));
            }
        }
    }
}
