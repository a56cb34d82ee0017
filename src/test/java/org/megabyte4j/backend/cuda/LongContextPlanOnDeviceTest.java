package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.Recomputation.Stacks;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.Evaluator;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;

/** What steps over millions of bytes take on a GPU, by the plan: nothing is allocated. */
class LongContextPlanOnDeviceTest {
    /** Device memory of one step and its validation: the benchmark preset, bf16, AdamW, batch 1. */
    private static long bytes(Variant variant, int length, Recomputation recomputation) {
        MegabyteConfig config = Presets.named("benchmark").withVariant(variant).withMaxLength(length);
        CudaBackend backend = TestDevice.backend();
        TrainOptions options = TrainOptions.of(1, length, 1e-3).withRecomputation(recomputation);
        try (Parameters parameters = new Parameters(config, DType.BF16);
                Trainer trainer = Trainer.plan(parameters, options, backend)) {
            new Evaluator(parameters, 1, length, backend, trainer.memory());
            return parameters.plan().bytes() + trainer.memory().bytes();
        }
    }

    @ParameterizedTest
    @CsvSource({"IN_ACTION, false", "IN_ACTION, true", "MEGABYTE, false", "MEGABYTE, true"})
    void aMillionBytesFit24GB(Variant variant, boolean keepAttention) {
        long bytes = bytes(variant, 1 << 20, new Recomputation(Stacks.ALL, keepAttention, null));
        assertThat(bytes).as("%,d", bytes).isLessThanOrEqualTo(24_000_000_000L);
    }

    @ParameterizedTest
    @CsvSource({"IN_ACTION, false", "IN_ACTION, true", "MEGABYTE, false", "MEGABYTE, true"})
    void eightMillionBytesFit130GB(Variant variant, boolean keepAttention) {
        long bytes = bytes(variant, 1 << 23, new Recomputation(Stacks.ALL, keepAttention, null));
        assertThat(bytes).as("%,d", bytes).isLessThanOrEqualTo(130_000_000_000L);
    }

    /** Every grid of a step that keeps everything at 8 Mi bytes: within what a launch can have. */
    @Test
    void gridsOfEightMillionBytesArePossible() {
        long rows = 1L << 23;
        long mostElements = rows * 1024;    // of the local hidden activation
        assertThat(mostElements).isGreaterThan(1L << 32);
        assertThat(Math.ceilDiv(mostElements, 256L * 4 * Launches.vector(DType.F32))).isLessThan(Integer.MAX_VALUE);
        for (DType dtype : new DType[] {DType.F32, DType.BF16}) {
            AttentionShape local = new AttentionShape(rows / 8, 8, 4, 1, 64);
            assertThat(LocalAttentionLaunch.forward(local, dtype, true, false).blocks())
                    .isEqualTo(dtype == DType.BF16 ? rows / 8 / 4 : rows / 8);
            assertThat(LocalAttentionLaunch.backward(local, dtype, true, false).blocks()).isLessThan(Integer.MAX_VALUE);
        }
        assertThat(RowTeam.of(512, true).blocks(rows)).isEqualTo(rows / 4);
    }
}
