package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.Recomputation.Stacks;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.MemoryPlan;

/** What a training step and a validation of a million bytes take on the CPU, by the plan: nothing is allocated. */
class LongContextPlanTest {
    private static final int MILLION = 1 << 20;
    /** Of the 4 GB of a process, what remains for the JVM, its heap and code. */
    private static final long HEAP = 500_000_000;

    @ParameterizedTest
    @CsvSource({"IN_ACTION, ALL, false", "IN_ACTION, ALL, true", "MEGABYTE, ALL, false", "MEGABYTE, ALL, true"})
    void theSmallPresetFitsFourGigabytes(Variant variant, Stacks stacks, boolean keepAttention) {
        MegabyteConfig config = Presets.named("small").withVariant(variant).withMaxLength(MILLION);
        TrainOptions options = TrainOptions.of(1, MILLION, 1e-3)
                .withRecomputation(new Recomputation(stacks, keepAttention, null));
        try (CpuBackend backend = CpuBackend.open(2);
                Parameters parameters = new Parameters(config);
                Trainer trainer = Trainer.plan(parameters, options, backend)) {
            new Evaluator(parameters, 1, MILLION, backend, trainer.memory());
            long bytes = parameters.plan().bytes() + trainer.memory().bytes();
            assertThat(bytes).as("%,d", bytes).isLessThan(4_000_000_000L - HEAP);
            assertThat(backend.heldBytes()).isZero();
        }
    }

    /** Beyond what an int counts: 8 Mi bytes and the benchmark's widths, everything kept. */
    @ParameterizedTest
    @CsvSource({"IN_ACTION", "MEGABYTE"})
    void sizesBeyondTwoToTheThirtyOneElementsArePlanned(Variant variant) {
        int length = 8 * MILLION;
        MegabyteConfig config = Presets.named("benchmark").withVariant(variant).withMaxLength(length);
        long patches = length / config.patchSize();
        try (CpuBackend backend = CpuBackend.open(2);
                Parameters parameters = new Parameters(config);
                Trainer trainer = Trainer.plan(parameters, TrainOptions.of(1, length, 1e-3), backend)) {
            assertThat(trainer.memory().regions()).filteredOn(region -> region.name().equals("logits")).singleElement()
                    .extracting(region -> region.bytes()).isEqualTo(4L * length * config.vocabularySize());
            assertThat(trainer.memory().regions()).filteredOn(region -> region.name().endsWith(".hidden"))
                    .extracting(region -> region.bytes()).contains(4L * patches * 4 * config.globalSize())
                    .contains(4L * length * 4 * config.localSize()).allMatch(bytes -> bytes / 4 > 1L << 31);
            assertThat(trainer.memory().bytes(MemoryPlan.Category.ACTIVATIONS))
                    .isGreaterThan(4 * (12 * 81 * patches * config.globalSize() / 10));
            assertThat(backend.heldBytes()).isZero();
        }
    }
}
