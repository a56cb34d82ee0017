package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.Recomputation.Stacks;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;

/** Whatever is computed again or in chunks, loss and gradients are those of the graph that keeps everything. */
public class RecomputationTest {
    private static final int PATCH = 3;
    private static final int BATCH = 2;
    /** 14 patches of both sequences together: 4, 5 and 13 do not divide them, and cross the border; 7 ends there. */
    private static final int LENGTH = 7 * PATCH;

    /** Every choice, with chunks of a patch, that do not divide the sequences, that cross their border, and of all. */
    public static Stream<Recomputation> choices() {
        return Stream.of(Stacks.values()).flatMap(stacks -> Stream.of(null, 1, 4, 5, 7, 13, 99)
                .filter(chunk -> chunk == null || stacks != Stacks.NONE).flatMap(chunk -> Stream.of(false, true)
                        .filter(kept -> !kept || stacks == Stacks.GLOBAL || stacks == Stacks.ALL)
                        .map(kept -> new Recomputation(stacks, kept, chunk))));
    }

    private static int[] ids(MegabyteConfig config) {
        int[] ids = TestModels.ids(BATCH * LENGTH, config.vocabularySize(), 3);
        ids[5] = config.padId();
        ids[LENGTH] = config.padId();
        return ids;
    }

    /** In double precision only a wrong byte, row or gradient would show. */
    @ParameterizedTest
    @MethodSource("choices")
    void theGradientsAreExact(Recomputation choice) {
        for (Variant variant : Variant.values()) {
            MegabyteConfig config = TestModels.config(variant, PATCH);
            try (ReferenceBackend backend = new ReferenceBackend();
                    Parameters parameters = TestModels.random(config, backend, 1);
                    RunnableGraph kept = RunnableGraph.training(backend, parameters, BATCH, LENGTH);
                    RunnableGraph again = RunnableGraph.training(backend, parameters, BATCH, LENGTH, choice)) {
                kept.step(ids(config));
                again.step(ids(config));
                again.step(ids(config));    // nothing of the step before is left
                double[] expected = backend.readDoubles(kept.graph.gradients());
                double[] actual = backend.readDoubles(again.graph.gradients());
                double furthest = IntStream.range(0, expected.length)
                        .mapToDouble(i -> Math.abs(actual[i] - expected[i]) / (1 + Math.abs(expected[i])))
                        .reduce(0, Math::max);    // NaN stays
                assertThat(furthest).isLessThan(1e-12);
                assertThat(backend.readDoubles(again.graph.loss())[0])
                        .isCloseTo(backend.readDoubles(kept.graph.loss())[0], within(1e-12));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void theCpuComputesTheSameUpToTheOrderOfSums(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        try (Backend backend = CpuBackend.open(2); Parameters parameters = TestModels.random(config, backend, 1)) {
            compare(backend, parameters, choices());
        }
    }

    /** Also for other tests: compares every choice with {@link Recomputation#NONE} on a device. */
    public static void compare(Backend backend, Parameters parameters, Stream<Recomputation> choices) {
        int[] ids = ids(parameters.config());
        try (RunnableGraph kept = RunnableGraph.training(backend, parameters, BATCH, LENGTH)) {
            float loss = kept.step(ids);
            float[] expected = backend.readFloats(kept.graph.gradients());
            choices.forEach(choice -> {
                try (RunnableGraph again = RunnableGraph.training(backend, parameters, BATCH, LENGTH, choice)) {
                    assertThat(again.step(ids)).as("%s", choice).isCloseTo(loss, within(1e-6f * loss));
                    float[] actual = backend.readFloats(again.graph.gradients());
                    if (choice.chunk() == null || choice.chunk() >= 14) {
                        // With a single chunk the order of sums is that of the whole.
                        assertThat(actual).as("%s", choice).isEqualTo(expected);
                    }
                    for (ParameterLayout.Entry entry : parameters.layout().entries()) {
                        assertThat(relativeError(actual, expected, entry)).as("%s: %s", choice, entry.name())
                                .isLessThan(1e-5);
                    }
                }
            });
        }
    }

    private static double relativeError(float[] actual, float[] expected, ParameterLayout.Entry entry) {
        double difference = 0;
        double size = 0;
        for (int i = (int) entry.offset(); i < entry.offset() + entry.elements(); i++) {
            difference += Math.pow((double) actual[i] - expected[i], 2);
            size += (double) expected[i] * expected[i];
        }
        return Math.sqrt(difference / size);
    }

    @ParameterizedTest
    @EnumSource
    void theLossOfChunksIsThatOfTheLogits(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, BATCH, LENGTH)) {
            whole.loss(ids(config));
            double expected = backend.readDoubles(whole.graph.loss())[0];
            for (int chunk : new int[] {1, 4, 7, 14, 15}) {
                try (RunnableGraph chunks = RunnableGraph.loss(backend, parameters, BATCH, LENGTH, chunk)) {
                    chunks.loss(ids(config));
                    assertThat(backend.readDoubles(chunks.graph.loss())[0]).isCloseTo(expected, within(1e-12));
                }
            }
        }
    }

    private static long bytes(MegabyteConfig config, int length, Recomputation choice, MemoryPlan.Category... of) {
        MemoryPlan plan = new MemoryPlan();
        Megabyte.forTraining(new Parameters(config), 1, length, choice, plan, Fusion.NONE);
        return Stream.of(of).mapToLong(plan::bytes).sum();
    }

    /** What a patch more costs: its ids, and in the global model what the choice says. */
    @Test
    void memoryGrowsByWhatIsKeptAlone() {
        MegabyteConfig config = Presets.named("tiny");
        long width = config.globalSize() * 4L;
        long lse = config.globalHeads() * 4L;
        long attention = 3 * width + 2 * config.globalHeadSize() * 4L;      // qkv, attended, attentionOut
        long keptInLayer = 2 * 8 + attention + lse + 4 * width + width;     // two norms, hidden, out
        var categories = new MemoryPlan.Category[] {MemoryPlan.Category.ACTIVATIONS, MemoryPlan.Category.WORKSPACE};
        int more = 1 << 14;    // patches
        for (boolean keepAttention : new boolean[] {false, true}) {
            Recomputation all = new Recomputation(Stacks.ALL, keepAttention, 64);
            long growth = bytes(config, 8 * more, all, categories) - bytes(config, 4 * more, all, categories);
            long layer = 8 + lse + width + (keepAttention ? width : 0);     // a norm, log-sum-exp, out
            // Scratch: qkv and its gradient, attended, attentionOut and what it shares its buffer with, dGlobal.
            long scratch = 2 * (attention - 2 * width) + (keepAttention ? 2 : 3) * width;
            assertThat(growth / more).isEqualTo(width + config.globalLayers() * layer + scratch);
        }
        Recomputation local = new Recomputation(Stacks.LOCAL, false, 64);
        long growth = bytes(config, 8 * more, local, categories) - bytes(config, 4 * more, local, categories);
        assertThat(growth / more).isEqualTo(width + config.globalLayers() * keptInLayer
                + 2 * width + (attention - 2 * width) + 4 * width);    // normed, dGlobal, dQkv, activated
    }

    @Test
    void whatIsNotPossibleIsRefused() {
        assertThatThrownBy(() -> new Recomputation(Stacks.LOCAL, true, null)).isInstanceOf(ConfigException.class)
                .hasMessage("--keep-attention is for global layers that are computed again; add --recompute global or"
                        + " --recompute all, or leave it out");
        assertThatThrownBy(() -> new Recomputation(Stacks.ALL, false, 0)).isInstanceOf(ConfigException.class)
                .hasMessage("--chunk 0 is not possible; use at least 1");
        Megabyte chunks = Megabyte.forTraining(new Parameters(TestModels.config(Variant.IN_ACTION, PATCH)), 1, LENGTH,
                new Recomputation(Stacks.LOCAL, false, 3), new MemoryPlan(), Fusion.NONE);
        assertThatThrownBy(chunks::logits).isInstanceOf(IllegalStateException.class)
                .hasMessage("the local model goes through the batch in 3 chunks, so there is nothing of all bytes; build"
                        + " the graph with Recomputation.NONE");
    }
}
