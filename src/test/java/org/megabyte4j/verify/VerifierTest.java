package org.megabyte4j.verify;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.SharedData;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.tensor.DType;

/** The CPU backend, optimisers, generation and training against what the original computed. */
class VerifierTest {
    @TempDir
    Path folder;

    private static List<Check> verify(Path folder, int threads) {
        try (CpuBackend backend = CpuBackend.open(threads)) {
            return new Verifier(backend, DType.F32, null, notice -> { }).verify(folder);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"megabyte-basic", "megabyte-one-patch", "megabyte-padding", "megabyte-patch-size-1",
        "megabyte-three-layers", "megabyte-head-64", "megabyte-generation", "megabyte_in_action-basic",
        "megabyte_in_action-one-patch", "megabyte_in_action-padding", "megabyte_in_action-patch-size-1",
        "megabyte_in_action-three-layers", "megabyte_in_action-head-64", "megabyte_in_action-generation",
        "optimizer-adafactor", "optimizer-adamw", "optimizer-anyprecision", "optimizer-anyprecision-kahan-bf16",
        "curve-adamw"})
    void theCpuMeetsTheGoldenData(String name) {
        Path golden = SharedData.golden(name);
        assertThat(verify(golden, 2)).isNotEmpty()
                .allSatisfy(check -> assertThat(check.passed()).as(check.toString()).isTrue());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void anyNumberOfThreadsMeetsTheGoldenData(int threads) {
        Path golden = SharedData.golden("megabyte_in_action-three-layers");
        assertThat(verify(golden, threads)).allMatch(Check::passed);
    }

    @Test
    void oneChangedWeightIsNoticed() throws IOException {
        Path golden = SharedData.golden("megabyte-basic");
        try (Stream<Path> files = Files.list(golden)) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        try (FileChannel weights = FileChannel.open(folder.resolve("model.safetensors"), StandardOpenOption.WRITE)) {
            ByteBuffer one = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(0.75f).flip();
            weights.write(one, weights.size() - 4);
        }
        assertThat(verify(folder, 2)).anyMatch(check -> !check.passed());
    }

    @Test
    void aFolderWithoutRecordedResultsIsRefused() {
        assertThatThrownBy(() -> verify(folder, 1)).isInstanceOf(CheckpointException.class)
                .hasMessage(folder + " holds no recorded results; there must be io.safetensors, generation.json,"
                        + " curve.json or optimizer.json");
    }

    @Test
    void notANumberNeverPasses() {
        assertThat(new Check("x", Double.NaN, 1).passed()).isFalse();
        assertThat(Check.relative("x", new float[] {Float.NaN}, new float[] {1}, 1).passed()).isFalse();
    }
}
