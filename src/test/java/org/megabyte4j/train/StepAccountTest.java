package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.DryBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.Flops;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.StepAccount.Part;

class StepAccountTest {
    private static TrainOptions options(int batch, int length) {
        return new TrainOptions(batch, length, 1, 0, OptimizerOptions.adamW(), Schedule.constant(1e-4));
    }

    private static List<StepAccount.Call> planned(MegabyteConfig config, DType dtype, int batch, int length) {
        try (Backend nowhere = new DryBackend(); Parameters parameters = new Parameters(config, dtype);
                Trainer trainer = Trainer.plan(parameters, options(batch, length), nowhere)) {
            return trainer.account();
        }
    }

    private static long flops(List<StepAccount.Call> calls, Predicate<StepAccount.Call> which) {
        return calls.stream().filter(which).mapToLong(call -> call.cost().flops()).sum();
    }

    private static boolean isAttention(StepAccount.Call call) {
        return call.operation().startsWith("causalAttention");
    }

    /** Scores that backward computes again: 2 for each element of a head and visible pair. */
    private static long again(MegabyteConfig config, long batch, long length) {
        long patches = length / config.patchSize();
        return config.globalLayers() * 2L * config.globalSize() * batch * patches * (patches + 1) / 2
                + config.localLayers() * 2L * config.localHeads() * config.localHeadSize() * batch * patches
                        * config.patchSize() * (config.patchSize() + 1) / 2;
    }

    /** What a variant needs beyond its model's FLOPs, because it looks a table up that it has multiplied before. */
    private static long table(MegabyteConfig config, long batch, long length) {
        long each = 2L * config.globalEmbeddingSize() * config.localSize();
        return config.variant() == Variant.IN_ACTION ? 3 * each * (config.vocabularySize() - batch * length) : 0;
    }

    @ParameterizedTest
    @CsvSource({"tiny, 3, 64", "small, 1, 1024", "benchmark, 32, 2048", "megabyte-130m, 8, 8192", "paper, 4, 8192",
        "paper, 1, 1048576", "benchmark, 1, 1048576"})
    void flopsAreThoseOfTheModelAndTheScoresThatAreComputedAgain(String preset, int batch, int length) {
        for (Variant variant : Variant.values()) {
            MegabyteConfig config = Presets.named(preset).withVariant(variant);
            if (config.maxLength() != null && length > config.maxLength() && variant == Variant.MEGABYTE) {
                continue;
            }
            assertThat(flops(planned(config, DType.BF16, batch, length), call -> true))
                    .isEqualTo(Flops.ofTrainingStep(config, batch, length) + again(config, batch, length)
                            + table(config, batch, length));
        }
    }

    /** 65,536 bytes: 8.12 TFLOP, 123.9 MFLOP a byte, of which 121.5 are in matrix products. */
    @Test
    void theBenchmarkAtBatch32() {
        MegabyteConfig config = Presets.named("benchmark");
        List<StepAccount.Call> calls = planned(config, DType.BF16, 32, 2048);
        assertThat(Flops.ofTrainingStep(config, 32, 2048) / 1e12).isEqualTo(8.12, within(0.005));
        assertThat(Flops.ofTrainingStep(config, 32, 2048) / 65536e6).isEqualTo(123.95, within(0.05));
        assertThat((flops(calls, call -> !isAttention(call)) - table(config, 32, 2048)) / 65536e6)
                .isEqualTo(121.5, within(0.05));
        assertThat(Flops.ofTrainingStep(config, 1, 1 << 20) / (double) (1 << 20) / 1e9)
                .as("in one sequence of 1,048,576 bytes, GFLOP a byte").isEqualTo(1.33, within(0.005));
    }

    @Test
    void everyCallBelongsToAPart() {
        List<StepAccount.Call> calls = planned(Presets.named("tiny"), DType.F32, 2, 64);
        assertThat(calls).filteredOn(call -> isAttention(call) && call.part() == Part.GLOBAL).hasSize(2 * 2);
        assertThat(calls).filteredOn(call -> isAttention(call) && call.part() == Part.LOCAL).hasSize(2 * 2);
        assertThat(calls).filteredOn(call -> isAttention(call) || call.operation().contains("elu"))
                .extracting(StepAccount.Call::part).containsOnly(Part.GLOBAL, Part.LOCAL);
        assertThat(calls).filteredOn(call -> call.part() == Part.HEAD).extracting(StepAccount.Call::operation)
                .contains("linear", "softmaxCrossEntropy", "linearInputGradient", "linearWeightGradient");
        assertThat(calls).filteredOn(call -> call.part() == Part.OPTIMIZER).extracting(StepAccount.Call::operation)
                .contains("fill", "adamW");
        assertThat(calls).filteredOn(call -> call.operation().startsWith("embed"))
                .extracting(StepAccount.Call::part).containsOnly(Part.EMBEDDING);
    }

    /** Arena bytes: parameters, gradients, two moments. */
    @Test
    void theOptimiserMovesSevenTimesTheParameters() {
        MegabyteConfig config = Presets.named("tiny");
        long elements = new Parameters(config).layout().elements();
        List<StepAccount.Call> adam = planned(config, DType.F32, 1, 64).stream()
                .filter(call -> call.operation().equals("adamW")).toList();
        assertThat(adam).hasSize(1);
        assertThat(adam.getFirst().cost().bytes()).isEqualTo(28 * elements);
        assertThat(planned(config, DType.BF16, 1, 64).getLast().cost().bytes()).isEqualTo(30 * elements);
    }

    @Test
    void timesAreOfTheSameCallsInTheSameOrder() {
        try (Backend backend = CpuBackend.open(1);
                Parameters parameters = Parameters.initialized(Presets.named("tiny"), backend, 1);
                Trainer trainer = Trainer.create(parameters, options(1, 64), backend)) {
            trainer.step(new int[64]);
            List<StepAccount.Call> timed = trainer.timedAccount();
            assertThat(timed).extracting(StepAccount.Call::seconds).allMatch(seconds -> seconds > 0);
            assertThat(timed).extracting(StepAccount.Call::operation)
                    .isEqualTo(trainer.account().stream().map(StepAccount.Call::operation).toList());
        }
    }
}
