package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.checkpoint.ModelFiles;
import org.megabyte4j.checkpoint.RunFolder;
import org.megabyte4j.checkpoint.SafeTensorsFile;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.tensor.DType;

/** A run that stops and fails again and again computes the same bits as one that never does. */
class ResumeTest {
    private static final long STEPS = 11;

    private static final class Failure extends RuntimeException {
    }

    static Stream<Arguments> optimizers() {
        OptimizerOptions any = OptimizerOptions.anyPrecision();
        return Stream.of(
                Arguments.of(Named.of("adamw", OptimizerOptions.adamW()), Sampling.RANDOM),
                Arguments.of(Named.of("adafactor", OptimizerOptions.adafactor()), Sampling.CHUNKS),
                Arguments.of(Named.of("anyprecision", any), Sampling.SEQUENTIAL),
                Arguments.of(Named.of("anyprecision with Kahan summation", new OptimizerOptions(any.kind(), any.beta1(),
                        any.beta2(), any.epsilon(), 0.1, true, false, true, true, DType.BF16, DType.BF16, DType.F32)),
                        Sampling.RANDOM));
    }

    /** Checkpoints hold float32; the copy to compute with is made of it again. */
    @ParameterizedTest
    @MethodSource("optimizers")
    void aBf16RunGoesOnFromItsFloat32Weights(OptimizerOptions optimizer, Sampling sampling, @TempDir Path folder)
            throws IOException {
        DataOptions data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(500, 3)), sampling);
        TrainOptions options = new TrainOptions(TestRun.BATCH, TestRun.LENGTH, 1, 1, optimizer,
                Schedule.constant(1e-2));
        for (long steps : new long[] {1, 2}) {
            RunOptions run = new RunOptions(steps, null, new Bookkeeping(1, 1, 3, 0, 24));
            Backend device = ReferenceBackend.plainBf16();
            TestRun.train(folder.resolve("run"), data, options, run, device, DType.BF16, handle -> {
                Parameters parameters = handle.trainer().parameters();
                Backend backend = handle.trainer().backend();
                float[] copy = backend.readFloats(parameters.computeCopy());
                parameters.refresh(backend);
                assertThat(backend.readFloats(parameters.computeCopy())).isEqualTo(copy);
                assertThat(backend.readFloats(parameters.arena())).isNotEqualTo(copy);
            });
        }
        try (ReferenceBackend backend = ReferenceBackend.plainBf16();
                SafeTensorsFile file = SafeTensorsFile.open(folder.resolve("run/model.safetensors"));
                Parameters loaded = ModelFiles.load(folder.resolve("run"), DType.BF16, backend, notice -> { })) {
            String name = "to_logits.weight";
            assertThat(file.tensor(name).dtype()).isEqualTo(DType.F32);
            float[] copy = backend.readFloats(loaded.layout().view(loaded.computeCopy(), name));
            assertThat(copy).isNotEqualTo(file.floats(name)).containsExactly(file.floats(name), within(1e-2f));
        }
    }

    static Stream<Recomputation> recomputations() {
        return Stream.of(new Recomputation(Recomputation.Stacks.LOCAL, false, 3),
                new Recomputation(Recomputation.Stacks.ALL, true, 5));
    }

    @ParameterizedTest
    @MethodSource("recomputations")
    void aRunKeepsItsRecomputationAndItsBits(Recomputation choice, @TempDir Path folder) throws IOException {
        DataOptions data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(500, 3)), Sampling.RANDOM);
        TrainOptions options = new TrainOptions(TestRun.BATCH, TestRun.LENGTH, 2, 1, OptimizerOptions.adamW(),
                Schedule.constant(1e-2), choice);
        assertAnInterruptedRunComputesTheSameBits(data, options, folder);
        try (RunFolder run = RunFolder.open(folder.resolve("parts"))) {
            Checkpoint newest = run.latest(notice -> { }).orElseThrow();
            Recipe stored = Recipe.read(newest.trainer(), newest.folder());
            assertThat(stored.options().recomputation()).isEqualTo(choice);
            stored.requireSame(withRecomputation(stored, Recomputation.NONE));    // which may round differently
            ((ObjectNode) newest.trainer().get("options")).remove("recomputation");
            assertThat(Recipe.read(newest.trainer(), newest.folder()).options().recomputation())
                    .as("of a run from before there was a choice").isEqualTo(Recomputation.NONE);
        }
    }

    private static Recipe withRecomputation(Recipe of, Recomputation choice) {
        return new Recipe(of.seed(), of.options().withRecomputation(choice), of.data(), of.bookkeeping(),
                of.fingerprint(), of.threads(), of.device(), of.dtype());
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void anInterruptedRunComputesTheSameBits(OptimizerOptions optimizer, Sampling sampling, @TempDir Path folder)
            throws IOException {
        DataOptions data = TestRun.data(Files.write(folder.resolve("text"), TestRun.text(500, 3)), sampling);
        assertAnInterruptedRunComputesTheSameBits(data, new TrainOptions(TestRun.BATCH, TestRun.LENGTH, 2, 1, optimizer,
                new Schedule(Schedule.Kind.COSINE, 1e-2, 3, STEPS)), folder);
    }

    private static void assertAnInterruptedRunComputesTheSameBits(DataOptions data, TrainOptions options, Path folder)
            throws IOException {
        RunOptions run = new RunOptions(STEPS, null, new Bookkeeping(1, 4, 2, 3, 96));
        Path whole = folder.resolve("whole");
        TestRun.train(whole, data, options, run, handle -> { });

        Path parts = folder.resolve("parts");
        int[] layers = {0};
        assertThat(TestRun.train(parts, data, options, run, CpuBackend.open(1), DType.F32, handle -> { }, handle -> {
            if (handle.trainer().stepsDone() == 0 && ++layers[0] == 3) {
                handle.run().requestStop();      // in the middle of the first step, which is given up
            }
        })).isEqualTo(TrainingRun.Outcome.STOPPED);
        assertThat(layers[0]).isEqualTo(3);
        for (long stop : List.of(1, 4, 7)) {     // at once, together with a checkpoint, between two
            assertThat(TestRun.train(parts, data, options, run, handle -> {
                if (handle.trainer().stepsDone() == stop) {
                    handle.run().requestStop();
                }
            })).isEqualTo(TrainingRun.Outcome.STOPPED);
        }
        assertThat(TestRun.train(parts, data, options, run, CpuBackend.open(1), DType.F32, handle -> { }, handle -> {
            if (handle.trainer().stepsDone() == 8) {
                handle.run().requestStop();      // in the middle of the ninth
            }
        })).isEqualTo(TrainingRun.Outcome.STOPPED);
        assertThatThrownBy(() -> TestRun.train(parts, data, options, run, handle -> {
            if (handle.trainer().stepsDone() == STEPS - 1) {
                throw new Failure();             // two steps behind the checkpoint of step 8
            }
        })).isInstanceOf(Failure.class);
        assertThat(TestRun.train(parts, data, options, run, handle -> { })).isEqualTo(TrainingRun.Outcome.FINISHED);

        for (String file : List.of("model.safetensors", "optimizer.safetensors", "config.json")) {
            assertThat(TestRun.newest(parts, file)).as(file).isEqualTo(TestRun.newest(whole, file));
        }
        assertThat(TestRun.timelessMetrics(parts)).isEqualTo(TestRun.timelessMetrics(whole)).hasSize(11 + 4);
    }
}
