package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.ParameterLayout;

class TrainerTest {
    private static final int PATCH = 3;
    private static final int LENGTH = 2 * PATCH;

    private static OptimizerOptions adamW(double epsilon, double decay, boolean decayAll) {
        OptimizerOptions any = OptimizerOptions.adamW();
        return new OptimizerOptions(any.kind(), any.beta1(), any.beta2(), epsilon, decay, decayAll, false, false, false,
                any.momentumType(), any.varianceType(), any.compensationType());
    }

    private static TrainOptions options(int batch, int accumulate, double clip, OptimizerOptions optimizer) {
        return new TrainOptions(batch, LENGTH, accumulate, clip, optimizer, Schedule.constant(0.05));
    }

    /** What three steps leave: the weights, then loss and gradient norm of each step. */
    private static float[] train(Backend backend, MegabyteConfig config, TrainOptions options, int[][] batches) {
        try (Parameters parameters = TestModels.random(config, backend, 1);
                Trainer trainer = Trainer.create(parameters, options, backend)) {
            float[] figures = new float[2 * batches.length];
            for (int i = 0; i < batches.length; i++) {
                trainer.step(batches[i]);
                figures[2 * i] = trainer.loss();
                figures[2 * i + 1] = trainer.gradientNorm();
            }
            float[] weights = backend.readFloats(parameters.arena());
            float[] all = Arrays.copyOf(weights, weights.length + figures.length);
            System.arraycopy(figures, 0, all, weights.length, figures.length);
            return all;
        }
    }

    private static int[][] batches(MegabyteConfig config, int rows, double padded) {
        Random random = new Random(4);
        int[][] batches = new int[3][];
        for (int i = 0; i < batches.length; i++) {
            batches[i] = random.ints(rows * LENGTH, 0, config.padId())
                    .map(id -> random.nextDouble() < padded ? config.padId() : id).toArray();
        }
        return batches;
    }

    /** A large epsilon, so that the update is proportional to the gradient rather than to its sign. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.6})
    void accumulatedBatchesAreOneLargerBatch(double padded) {
        for (Variant variant : Variant.values()) {
            MegabyteConfig config = TestModels.config(variant, PATCH);
            int[][] batches = batches(config, 8, padded);
            OptimizerOptions optimizer = adamW(1, 0.1, false);
            try (Backend exact = new ReferenceBackend(); Backend cpu = CpuBackend.open(2)) {
                float[] one = train(exact, config, options(8, 1, 1, optimizer), batches);
                assertClose(train(exact, config, options(2, 4, 1, optimizer), batches), one, 1e-6f);
                assertClose(train(cpu, config, options(8, 1, 1, optimizer), batches), one, 2e-5f);
                assertClose(train(cpu, config, options(2, 4, 1, optimizer), batches), one, 2e-5f);
            }
        }
    }

    /** Chunks of two patches; a batch has four, of two sequences. */
    @ParameterizedTest
    @EnumSource
    void recomputationAndAccumulationGoTogether(Recomputation.Stacks stacks) {
        for (Variant variant : Variant.values()) {
            MegabyteConfig config = TestModels.config(variant, PATCH);
            int[][] batches = batches(config, 6, 0.2);
            TrainOptions kept = options(2, 3, 1, adamW(1, 0.1, false));
            TrainOptions again = kept.withRecomputation(new Recomputation(stacks, false, 3));
            try (Backend exact = new ReferenceBackend(); Backend cpu = CpuBackend.open(2)) {
                float[] expected = train(exact, config, kept, batches);
                assertClose(train(exact, config, again, batches), expected, 1e-6f);
                assertClose(train(cpu, config, again, batches), expected, 2e-5f);
            }
        }
    }

    @Test
    void aStepTellsHowFarItIs() {
        MegabyteConfig config = TestModels.config(Variant.IN_ACTION, PATCH);
        for (Recomputation choice : new Recomputation[] {Recomputation.NONE,
                new Recomputation(Recomputation.Stacks.ALL, false, 1)}) {
            try (Backend backend = CpuBackend.open(1);
                    Parameters parameters = TestModels.random(config, backend, 1);
                    Trainer trainer = Trainer.create(parameters, options(1, 2, 1, OptimizerOptions.adamW())
                            .withRecomputation(choice), backend)) {
                List<Double> shares = new ArrayList<>();
                trainer.onProgress(shares::add);
                for (int step = 0; step < 2; step++) {
                    shares.clear();
                    trainer.step(new int[2 * LENGTH]);
                    assertThat(shares).isSorted().doesNotHaveDuplicates().allMatch(share -> share > 0);
                    assertThat(shares.getLast()).isCloseTo(1, within(1e-12));
                    // Two layers in each stack, forward and backward, in both batches; the local ones in two chunks.
                    assertThat(shares).hasSize(choice == Recomputation.NONE ? 16 : 24);
                }
            }
        }
    }

    private static void assertClose(float[] actual, float[] expected, float tolerance) {
        for (int i = 0; i < expected.length; i++) {
            float allowed = tolerance * (1 + Math.abs(expected[i]));
            assertThat(actual[i]).as("figure %d", i).isCloseTo(expected[i], within(allowed));
        }
    }

    @Test
    void theGradientNormIsTheGlobalOneBeforeClipping() {
        MegabyteConfig config = TestModels.config(Variant.IN_ACTION, PATCH);
        int[] ids = batches(config, 2, 0)[0];
        double squares = 0;
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph graph = RunnableGraph.training(backend, parameters, 2, LENGTH)) {
            graph.step(ids);
            for (double gradient : backend.readDoubles(graph.graph.gradients())) {
                squares += gradient * gradient;
            }
        }
        for (double clip : new double[] {0, 0.1, 100}) {
            try (Backend cpu = CpuBackend.open(1)) {
                float[] trained = train(cpu, config, options(2, 1, clip, OptimizerOptions.adamW()), new int[][] {ids});
                assertThat((double) trained[trained.length - 1]).isCloseTo(Math.sqrt(squares), within(1e-4));
            }
        }
    }

    /** The first step of AdamW with a large epsilon, from float64 gradients, written as the paper has it. */
    @ParameterizedTest
    @ValueSource(doubles = {0, 0.05, 1000})
    void gradientsAreClippedByTheirGlobalNormAndOnlyLinearWeightsDecay(double clip) {
        MegabyteConfig config = TestModels.config(Variant.MEGABYTE, PATCH);
        int[] ids = batches(config, 2, 0)[0];
        double[] weights;
        double[] gradients;
        try (ReferenceBackend exact = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, exact, 1);
                RunnableGraph graph = RunnableGraph.training(exact, parameters, 2, LENGTH)) {
            weights = exact.readDoubles(parameters.arena());
            graph.step(ids);
            gradients = exact.readDoubles(graph.graph.gradients());
        }
        double norm = Math.sqrt(Arrays.stream(gradients).map(g -> g * g).sum());
        double factor = clip == 0 ? 1 : Math.min(1, clip / (norm + 1e-6));
        assertThat(factor).isEqualTo(clip == 0.05 ? clip / (norm + 1e-6) : 1);
        for (boolean decayAll : new boolean[] {false, true}) {
            float[] trained;
            try (Backend cpu = CpuBackend.open(2)) {
                trained = train(cpu, config, options(2, 1, clip, adamW(0.01, 0.5, decayAll)), new int[][] {ids});
            }
            for (ParameterLayout.Entry entry : ModelLayout.of(config).entries()) {
                boolean decays = decayAll || isLinearWeight(entry.name());
                for (int i = (int) entry.offset(); i < entry.offset() + entry.elements(); i++) {
                    double g = gradients[i] * factor;
                    double decayed = weights[i] * (decays ? 1 - 0.05 * 0.5 : 1);
                    double expected = decayed - 0.05 * g / (Math.abs(g) + 0.01);
                    double allowed = 1e-4 * (0.05 + Math.abs(decayed));
                    assertThat((double) trained[i]).as(entry.name()).isCloseTo(expected, within(allowed));
                }
            }
        }
    }

    /** By the reference's names: attention, feed-forward, gl_linear and to_logits; no embeddings, norms, biases. */
    private static boolean isLinearWeight(String name) {
        return name.matches(".*\\.(to_q|to_kv|to_out)\\.weight|.*_transformer\\.layers\\.\\d+\\.1\\.[14]\\.weight"
                + "|gl_linear\\.1\\.weight|to_logits\\.weight|to_l_embed\\.weight");
    }

    @ParameterizedTest
    @EnumSource
    void aTinyTextIsLearnedByHeart(Variant variant) {
        byte[] text = "A MEGABYTE reads bytes: patches first, then each byte inside its patch.\n"
                .getBytes(StandardCharsets.US_ASCII);
        MegabyteConfig config = new MegabyteConfig(variant, 260, 4, 8, 32, 72, 1, 4, 1, 4, 0.02, 257, 258);
        int[] ids = new int[text.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = text[i];
        }
        assertThat(ids).hasSize(72);
        TrainOptions options = new TrainOptions(1, ids.length, 1, 1, OptimizerOptions.adamW(),
                new Schedule(Schedule.Kind.COSINE, 1e-2, 10, 300));
        try (Backend backend = CpuBackend.open(1);
                Parameters parameters = Parameters.initialized(config, backend, 1);
                Trainer trainer = Trainer.create(parameters, options, backend)) {
            for (int step = 0; step < 300; step++) {
                trainer.step(ids);
                if (step == 0) {
                    assertThat(Metric.bits(trainer.loss())).isBetween(7.5, 8.5);
                }
            }
            assertThat(Metric.bits(trainer.loss())).isLessThan(0.1);
        }
    }

    @Test
    void aStepRefusesWhatDoesNotFit() {
        MegabyteConfig config = TestModels.config(Variant.MEGABYTE, PATCH);
        try (Backend backend = CpuBackend.open(1);
                Parameters parameters = TestModels.random(config, backend, 1);
                Trainer trainer = Trainer.create(parameters, options(1, 1, 1, OptimizerOptions.adamW()), backend)) {
            assertThatThrownBy(() -> trainer.step(new int[LENGTH + 1])).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("a step takes 6 ids, not 7");
            assertThatThrownBy(() -> trainer.step(0, 0, 29, 0, 0, 0)).isInstanceOf(ConfigException.class);
            assertThat(trainer.stepsDone()).isZero();
        }
    }

    @Test
    void memoryIsGivenBack() {
        MegabyteConfig config = TestModels.config(Variant.MEGABYTE, PATCH);
        try (CpuBackend backend = CpuBackend.open(2)) {
            try (Parameters parameters = TestModels.random(config, backend, 1)) {
                long before = backend.heldBytes();
                for (OptimizerOptions optimizer : new OptimizerOptions[] {OptimizerOptions.adamW(),
                        OptimizerOptions.adafactor(), OptimizerOptions.anyPrecision()}) {
                    try (Trainer trainer = Trainer.create(parameters, options(2, 2, 1, optimizer), backend)) {
                        trainer.step(new int[4 * LENGTH]);
                        assertThat(backend.heldBytes()).isEqualTo(before + trainer.memory().bytes());
                    }
                    assertThat(backend.heldBytes()).isEqualTo(before);
                }
            }
            assertThat(backend.heldBytes()).isZero();
        }
    }
}
