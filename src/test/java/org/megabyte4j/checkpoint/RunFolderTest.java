package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.model.Presets;
import org.megabyte4j.tensor.DType;

class RunFolderTest {
    static final Consumer<String> NO_NOTICE = sentence -> {
        throw new AssertionError(sentence);
    };

    @TempDir
    Path folder;

    /** Small contents in which every number tells the step. */
    static CheckpointContents contents(long step) {
        float[] values = new float[1000];
        Arrays.fill(values, step);
        ObjectNode trainer = JsonNodeFactory.instance.objectNode().put("step", step).put("seed", 42);
        return new CheckpointContents(Presets.named("tiny"),
                List.of(TensorSource.of("w", DType.F32, MemorySegment.ofArray(values), 10, 100)),
                List.of(TensorSource.of("m", DType.F32, MemorySegment.ofArray(values.clone()), 1000)), trainer);
    }

    /** Checks that a checkpoint is whole: all four files tell its step. */
    static void assertHolds(Checkpoint checkpoint, long step) {
        assertThat(checkpoint.step()).isEqualTo(step);
        assertThat(checkpoint.trainer().get("step").asLong()).isEqualTo(step);
        assertThat(checkpoint.config()).isEqualTo(Presets.named("tiny"));
        try (var model = checkpoint.openModel(); var optimizer = checkpoint.openOptimizer()) {
            assertThat(model.floats("w")).hasSize(1000).containsOnly(step);
            assertThat(optimizer.floats("m")).hasSize(1000).containsOnly(step);
        }
    }

    private Path checkpoint(long step) {
        return folder.resolve("run/checkpoints/step-0000%04d".formatted(step));
    }

    private RunFolder runWith(long... steps) {
        RunFolder run = RunFolder.create(folder.resolve("run"));
        for (long step : steps) {
            run.save(step, contents(step), 10);
        }
        return run;
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void keepsTheNewestCheckpointsAndShowsTheModelOfTheLast() throws IOException {
        try (RunFolder run = RunFolder.create(folder.resolve("run"))) {
            assertThat(run.latest(NO_NOTICE)).isEmpty();
            for (long step = 100; step <= 500; step += 100) {
                run.save(step, contents(step), 2);
            }
            assertThat(run.steps()).containsExactly(400L, 500L);
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 500);
            assertThat(names(run.path())).containsExactly(".lock", "checkpoints", "config.json", "model.safetensors",
                    "trainer.json");
            assertThat(names(run.path().resolve("checkpoints"))).containsExactly("step-00000400", "step-00000500");
            try (var model = SafeTensorsFile.open(run.file("model.safetensors"))) {
                assertThat(model.floats("w")).containsOnly(500);
            }
        }
    }

    @Test
    void savingTheSameStepAgainReplacesIt() {
        try (RunFolder run = runWith(7)) {
            run.save(7, contents(7), 1);
            assertThat(run.steps()).containsExactly(7L);
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 7);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json"})
    void fallsBackToTheOlderCheckpointWhereABitIsFlipped(String name) throws IOException {
        runWith(1, 2).close();
        Path file = checkpoint(2).resolve(name);
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length * 2 / 3] ^= 0x10;
        Files.write(file, bytes);
        List<String> notices = new ArrayList<>();
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertHolds(run.latest(notices::add).orElseThrow(), 1);
            assertThat(notices).hasSize(1);
            assertThat(notices.getFirst()).matches("the checkpoint of step 2 is damaged: \\Q" + file
                    + "\\E has the checksum [0-9a-f]{8} instead of [0-9a-f]{8}; the older checkpoint of step 1 is still"
                    + " good, and the run continues from there");
            try (var model = SafeTensorsFile.open(run.file("model.safetensors"))) {
                assertThat(model.floats("w")).as("what the top of the folder shows").containsOnly(1);
            }
        }
    }

    @Test
    void fallsBackWhereAFileIsTruncatedMissingOrItsManifestDamaged() throws IOException {
        runWith(1, 2, 3, 4).close();
        Files.delete(checkpoint(4).resolve("optimizer.safetensors"));
        Path truncated = checkpoint(3).resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(truncated);
        Files.write(truncated, Arrays.copyOf(bytes, bytes.length - 1));
        Path manifest = checkpoint(2).resolve("manifest.json");
        Files.writeString(manifest, Files.readString(manifest).replace("trainer.json", "trainer.jsom"));
        List<String> notices = new ArrayList<>();
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertHolds(run.latest(notices::add).orElseThrow(), 1);
        }
        assertThat(notices).hasSize(3);
        assertThat(notices.get(0)).contains("optimizer.safetensors is missing");
        assertThat(notices.get(1)).contains("has " + (bytes.length - 1) + " bytes instead of " + bytes.length);
        assertThat(notices.get(2)).contains("does not list trainer.json");
    }

    @Test
    void saysSoWhereAllCheckpointsAreDamaged() throws IOException {
        runWith(1).close();
        Files.delete(checkpoint(1).resolve("manifest.json"));
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertThatThrownBy(() -> run.latest(NO_NOTICE)).isInstanceOf(CheckpointException.class)
                    .hasMessage("no checkpoint in " + run.path() + " is usable: the checkpoint of step 1 is damaged: "
                            + checkpoint(1).resolve("manifest.json") + " does not exist; start a new run in another"
                            + " folder");
        }
    }

    /** A kill while a checkpoint is written leaves a folder aside with some files, the last of them partial. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5})
    void ignoresAndCleansWhatAKilledWriteLeft(int wholeFiles) throws IOException {
        runWith(1, 2).close();
        Path aside = checkpoint(2).resolveSibling(".writing-step-00000002");
        Files.move(checkpoint(2), aside);
        List<String> order = List.of("config.json", "model.safetensors", "optimizer.safetensors", "trainer.json",
                "manifest.json");
        for (String name : order.subList(wholeFiles, order.size())) {
            byte[] bytes = Files.readAllBytes(aside.resolve(name));
            Files.delete(aside.resolve(name));
            if (name.equals(order.get(wholeFiles))) {
                Files.write(aside.resolve(name), Arrays.copyOf(bytes, bytes.length / 2));
            }
        }
        Files.writeString(folder.resolve("run/.model.safetensors.tmp"), "partial");
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 1);
            assertThat(names(run.path())).containsExactly(".lock", "checkpoints", "config.json", "model.safetensors",
                    "trainer.json");
            assertThat(names(run.path().resolve("checkpoints"))).containsExactly("step-00000001");
        }
    }

    @Test
    void putsBackACheckpointThatWasMovedAwayToBeReplaced() throws IOException {
        runWith(1).close();
        Files.move(checkpoint(1), checkpoint(1).resolveSibling(".replaced-step-00000001"));
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 1);
        }
    }

    @Test
    void aKillBetweenCheckpointAndTopOfTheFolderIsMadeGood() throws IOException {
        runWith(1, 2).close();
        Files.delete(folder.resolve("run/model.safetensors"));
        Files.copy(checkpoint(1).resolve("model.safetensors"), folder.resolve("run/model.safetensors"));
        try (RunFolder run = RunFolder.open(folder.resolve("run"))) {
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 2);
            try (var model = SafeTensorsFile.open(run.file("model.safetensors"))) {
                assertThat(model.floats("w")).containsOnly(2);
            }
        }
    }

    @Test
    void refusesACheckpointThatDoesNotFitTheDiskBeforeWritingAnything() throws IOException {
        try (RunFolder run = runWith(1)) {
            var huge = new TensorSource("w", DType.F32, new long[] {1L << 50}, (from, count, to) -> {
                throw new AssertionError("nothing may be written");
            });
            var contents = new CheckpointContents(Presets.named("tiny"), List.of(huge), List.of(),
                    contents(2).trainer());
            assertThatThrownBy(() -> run.save(2, contents, 1)).isInstanceOf(CheckpointException.class)
                    .hasMessageMatching("the checkpoint of step 2 cannot be written to \\Q" + run.path()
                            + "\\E: it needs 4503599627.4 MB, but the disk has only [0-9.]+ MB left; the checkpoint of"
                            + " step 1 is kept");
            assertThat(names(run.path().resolve("checkpoints"))).containsExactly("step-00000001");
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 1);
        }
    }

    @Test
    void aFailureWhileWritingKeepsTheLastGoodCheckpoint() throws IOException {
        try (RunFolder run = runWith(1)) {
            var broken = new TensorSource("m", DType.F32, new long[] {10_000_000}, (from, count, to) -> {
                if (from > 0) {
                    throw new IllegalStateException("device lost");
                }
            });
            var contents = new CheckpointContents(Presets.named("tiny"), contents(2).model(), List.of(broken),
                    contents(2).trainer());
            assertThatThrownBy(() -> run.save(2, contents, 1)).hasMessage("device lost");
            assertThat(names(run.path().resolve("checkpoints"))).containsExactly("step-00000001");
            assertHolds(run.latest(NO_NOTICE).orElseThrow(), 1);
        }
    }

    @Test
    void aFolderThatCannotBeWrittenIsASentence() throws IOException {
        try (RunFolder run = runWith(1)) {
            DurableFiles.delete(run.path().resolve("checkpoints"));
            Files.writeString(run.path().resolve("checkpoints"), "a file where the folder was");
            assertThatThrownBy(() -> run.save(2, contents(2), 1)).isInstanceOf(CheckpointException.class)
                    .hasMessage("the checkpoint of step 2 cannot be written to " + run.path() + ": "
                            + run.path().resolve("checkpoints/.writing-step-00000002") + ": Not a directory");
        }
        Path file = Files.writeString(folder.resolve("file"), "");
        assertThatThrownBy(() -> RunFolder.create(file))
                .hasMessage("the run folder " + file + " cannot be used: it is a file");
        assertThatThrownBy(() -> RunFolder.create(file.resolve("run"))).isInstanceOf(CheckpointException.class)
                .hasMessage("the run folder " + file.resolve("run") + " cannot be used: " + file.resolve("run")
                        + ": Not a directory");
        assertThatThrownBy(() -> RunFolder.open(folder.resolve("none")))
                .hasMessage("there is no run folder " + folder.resolve("none") + " to resume from");
    }

    @Test
    void aRunIsNeverOverwrittenByAnother() throws IOException {
        runWith(1200).close();
        Path path = folder.resolve("run");
        assertThatThrownBy(() -> RunFolder.create(path)).isInstanceOf(CheckpointException.class)
                .hasMessage(path + " already holds a run with a checkpoint of step 1200; continue it with --resume, or"
                        + " choose another folder");
        Path model = Files.createDirectory(folder.resolve("model"));
        Files.writeString(model.resolve("model.safetensors"), "");
        assertThatThrownBy(() -> RunFolder.create(model)).hasMessage(model + " already holds a model"
                + " (model.safetensors) that a new run would overwrite; choose another folder");
        RunFolder.open(path).close();
    }

    @Test
    void twoCannotTrainInOneFolder() {
        try (RunFolder run = runWith(1)) {
            assertThatThrownBy(() -> RunFolder.open(run.path())).isInstanceOf(CheckpointException.class)
                    .hasMessage("the run folder " + run.path() + " is in use by another process; wait until it ends, or"
                            + " choose another folder");
        }
        RunFolder.open(folder.resolve("run")).close();
    }
}
