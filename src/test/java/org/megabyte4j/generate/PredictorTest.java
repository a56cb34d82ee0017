package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;

/** Generation with caches against the whole model over the whole text. */
class PredictorTest {
    /** In double precision and on the CPU; logits are about 1. */
    private static final float[] TOLERANCES = {2e-6f, 2e-5f};

    private static Backend backend(int index) {
        return index == 0 ? new ReferenceBackend() : CpuBackend.open(2);
    }

    /** All prefix lengths around several patch borders, each continued across the next border. */
    @ParameterizedTest
    @CsvSource({"MEGABYTE, 1", "MEGABYTE, 3", "MEGABYTE, 4", "IN_ACTION, 1", "IN_ACTION, 3", "IN_ACTION, 4"})
    void cachedLogitsEqualUncachedOnesAtEveryPrefixLength(Variant variant, int patchSize) {
        cachedLogitsEqualUncachedOnes(TestModels.config(variant, patchSize));
    }

    @ParameterizedTest
    @EnumSource
    void cachedLogitsEqualUncachedOnesWhereLocalHeadsAreNarrowerThanTheModel(Variant variant) {
        cachedLogitsEqualUncachedOnes(TestModels.narrowHeads(variant));
    }

    private static void cachedLogitsEqualUncachedOnes(MegabyteConfig config) {
        int patchSize = config.patchSize();
        int length = 4 * patchSize;
        int[] ids = TestModels.ids(length, config.vocabularySize(), 8);
        for (int index = 0; index < TOLERANCES.length; index++) {
            try (Backend backend = backend(index);
                    Parameters parameters = TestModels.random(config, backend, 2);
                    RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, 1, length);
                    Predictor predictor = new AlignedPredictor(backend, parameters, 1, length)) {
                float[] expected = whole.logits(ids);
                for (int prefix = 0; prefix < length; prefix++) {
                    Sequence sequence = new Sequence(0, Arrays.copyOf(ids, prefix), length - prefix);
                    predictor.start(List.of(sequence));
                    for (int t = prefix; t < Math.min(length, prefix + patchSize + 1); t++) {
                        assertLogits(predictor, sequence, 0, row(expected, t, config.vocabularySize()),
                                TOLERANCES[index]);
                        sequence.append(ids[t], null);
                    }
                }
            }
        }
    }

    /** Prompts of many patches, whose caches are filled in blocks of 64 and of 16. */
    @ParameterizedTest
    @CsvSource({"MEGABYTE, 15, 0", "MEGABYTE, 16, 1", "IN_ACTION, 17, 1", "MEGABYTE, 64, 0", "IN_ACTION, 65, 2",
        "MEGABYTE, 81, 1", "IN_ACTION, 150, 0"})
    void longPromptsFillTheCachesInBlocks(Variant variant, int patches, int rest) {
        int patchSize = 3;
        MegabyteConfig config = TestModels.config(variant, patchSize).withMaxLength(152 * patchSize);
        int prefix = patches * patchSize + rest;
        int length = (patches + 1) * patchSize;
        int[] ids = TestModels.ids(length, config.vocabularySize(), 8);
        for (int index = 0; index < TOLERANCES.length; index++) {
            try (Backend backend = backend(index);
                    Parameters parameters = TestModels.random(config, backend, 2);
                    RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, 1, length);
                    Predictor predictor = new AlignedPredictor(backend, parameters, 2, length)) {
                float[] expected = whole.logits(ids);
                // A short one beside it, so that blocks hold padding too.
                Sequence brief = new Sequence(0, Arrays.copyOf(ids, 4), 1);
                Sequence sequence = new Sequence(1, Arrays.copyOf(ids, prefix), length - prefix);
                predictor.start(List.of(brief, sequence));
                assertLogits(predictor, sequence, 1, row(expected, prefix, config.vocabularySize()), TOLERANCES[index]);
            }
        }
    }

    /** A backend that counts how often each of the things that it was asked to record is run. */
    private static Backend counting(Backend backend, List<AtomicInteger> counts) {
        return (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[] {Backend.class},
                (proxy, method, arguments) -> {
                    Object result = method.invoke(backend, arguments);
                    if (!method.getName().equals("record")) {
                        return result;
                    }
                    var count = new AtomicInteger();
                    counts.add(count);
                    return (Runnable) () -> {
                        count.incrementAndGet();
                        ((Runnable) result).run();
                    };
                });
    }

    @ParameterizedTest
    @EnumSource
    void theGlobalModelRunsOncePerPatchAndTheLocalOneOncePerByte(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, 4);
        List<AtomicInteger> counts = new ArrayList<>();
        try (Backend backend = new ReferenceBackend(); Parameters parameters = TestModels.random(config, backend, 2);
                Predictor predictor = new AlignedPredictor(counting(backend, counts), parameters, 1, 40)) {
            Sequence sequence = new Sequence(0, TestModels.ids(8, config.vocabularySize(), 1), 32);
            predictor.start(List.of(sequence));
            for (int t = 8; t < 36; t++) {
                predictor.step();
                assertThat(predictor.position(0)).isEqualTo(t);
                sequence.append(1, null);
            }
        }
        assertThat(counts).extracting(AtomicInteger::get).containsExactlyInAnyOrder(7, 28);
    }

    /** Left padding as the definition says, by hand. */
    @Property(tries = 30)
    void referenceLogitsAreThoseOfTheLeftPaddedText(@ForAll Variant variant,
            @ForAll @IntRange(min = 0, max = 9) int length) {
        int patchSize = 3;
        MegabyteConfig config = TestModels.config(variant, patchSize);
        int[] ids = TestModels.ids(length, config.vocabularySize(), 8);
        int left = 0;
        while ((length + left) % patchSize != patchSize - 1) {
            left++;
        }
        int[] padded = new int[left + length + 1];
        Arrays.fill(padded, config.padId());
        System.arraycopy(ids, 0, padded, left, length);
        try (ReferenceBackend backend = new ReferenceBackend();
                Parameters parameters = TestModels.random(config, backend, 2);
                RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, 1, padded.length);
                Predictor predictor = new ReferencePredictor(backend, parameters, 2, 12)) {
            float[] expected = row(whole.logits(padded), padded.length - 1, config.vocabularySize());
            Sequence sequence = new Sequence(1, ids, 1);
            Sequence longer = new Sequence(0, TestModels.ids(11, config.vocabularySize(), 1), 1);
            predictor.start(List.of(longer, sequence));
            assertLogits(predictor, sequence, 1, expected, TOLERANCES[0]);
        }
    }

    /** Steps until the logits are about the next id, and compares them. */
    private static void assertLogits(Predictor predictor, Sequence sequence, int row, float[] expected,
            float tolerance) {
        do {
            predictor.step();
        } while (predictor.position(row) < sequence.length());
        assertThat(predictor.position(row)).isEqualTo(sequence.length());
        assertThat(row(predictor.logits(), row, expected.length)).as("logits at " + sequence.length())
                .containsExactly(expected, within(tolerance));
    }

    private static float[] row(float[] logits, int row, int vocabulary) {
        return Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
    }
}
