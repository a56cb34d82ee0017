package org.megabyte4j.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.tensor.MemoryPlan;

class MegabyteTest {
    private static final int PATCH = 3;

    @Property(tries = 40)
    void byteAtTNeverSeesItselfOrLaterBytes(@ForAll Variant variant, @ForAll @IntRange(min = 0, max = 11) int changed,
            @ForAll @IntRange(min = 0, max = 28) int otherId) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        int length = 4 * PATCH;
        int[] ids = TestModels.ids(length, config.vocabularySize(), 5);
        int[] other = ids.clone();
        other[changed] = otherId;
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph graph = RunnableGraph.evaluation(backend, parameters, 1, length)) {
            int seen = (changed + 1) * config.vocabularySize();
            float[] before = Arrays.copyOf(graph.logits(ids), seen);
            float[] after = Arrays.copyOf(graph.logits(other), seen);
            assertThat(after).containsExactly(before);
        }
    }

    @ParameterizedTest
    @EnumSource
    void everyByteMattersToWhatFollows(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        int length = 4 * PATCH;
        int[] ids = TestModels.ids(length, config.vocabularySize() - 1, 5);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph graph = RunnableGraph.evaluation(backend, parameters, 1, length)) {
            float[] before = graph.logits(ids);
            for (int t = 0; t < length - PATCH; t++) {
                int[] other = ids.clone();
                other[t]++;
                float[] after = graph.logits(other);
                int last = (length - 1) * config.vocabularySize();
                assertThat(Arrays.copyOfRange(after, last, after.length)).as("logits of the last byte after byte " + t)
                        .isNotEqualTo(Arrays.copyOfRange(before, last, before.length));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void paddingAloneGivesNoLossAndNoGradient(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        int[] ids = new int[2 * PATCH];
        Arrays.fill(ids, config.padId());
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph graph = RunnableGraph.training(backend, parameters, 1, ids.length)) {
            assertThat(graph.step(ids)).isZero();
            assertThat(backend.readFloats(graph.graph.gradients())).containsOnly(0f);
        }
    }

    @ParameterizedTest
    @EnumSource
    void batchRowsAreIndependent(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        int length = 2 * PATCH;
        int[] first = TestModels.ids(length, config.vocabularySize(), 1);
        int[] second = TestModels.ids(length, config.vocabularySize(), 2);
        int[] both = Arrays.copyOf(first, 2 * length);
        System.arraycopy(second, 0, both, length, length);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph one = RunnableGraph.evaluation(backend, parameters, 1, length);
                RunnableGraph two = RunnableGraph.evaluation(backend, parameters, 2, length)) {
            float[] expected = Arrays.copyOf(one.logits(first), both.length * config.vocabularySize());
            float[] tail = one.logits(second);
            System.arraycopy(tail, 0, expected, tail.length, tail.length);
            assertThat(two.logits(both)).containsExactly(expected);
        }
    }

    @ParameterizedTest
    @EnumSource
    void trainingAndEvaluationGraphsComputeTheSame(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, PATCH);
        int[] ids = TestModels.ids(4 * PATCH, config.vocabularySize(), 9);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 1);
                RunnableGraph training = RunnableGraph.training(backend, parameters, 2, 2 * PATCH);
                RunnableGraph evaluation = RunnableGraph.evaluation(backend, parameters, 2, 2 * PATCH)) {
            assertThat(evaluation.logits(ids)).containsExactly(training.logits(ids));
            evaluation.graph.loss(evaluation.ops);
            assertThat(backend.readFloats(evaluation.graph.loss())[0]).isEqualTo(training.step(ids));
        }
    }

    @ParameterizedTest
    @EnumSource
    void evaluationNeedsNoMemoryPerLayer(Variant variant) {
        MegabyteConfig two = TestModels.config(variant, PATCH);
        MegabyteConfig nine = new MegabyteConfig(variant, 29, PATCH, 6, 10, 12 * PATCH, 9, 2, 9, 2, 0.02, 27, 28);
        assertThat(evaluationBytes(nine)).isEqualTo(evaluationBytes(two));
    }

    private static long evaluationBytes(MegabyteConfig config) {
        MemoryPlan plan = new MemoryPlan();
        Megabyte.forEvaluation(new Parameters(config), 2, 2 * PATCH, plan, Fusion.NONE);
        return plan.bytes();
    }

    @ParameterizedTest
    @EnumSource
    void aLengthThatIsNoMultipleOfThePatchSizeIsRefused(Variant variant) {
        Parameters parameters = new Parameters(TestModels.config(variant, 8));
        assertThatThrownBy(() -> Megabyte.forTraining(parameters, 1, 30, new MemoryPlan(), Fusion.NONE))
                .isInstanceOf(ConfigException.class)
                .hasMessage("sequence length 30 is not a multiple of the patch size 8; use 30 -> 32");
    }
}
