package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.RunnableGraph;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

/** Generation with caches against the whole model over the whole text. */
class PredictorTest {
    /** In double precision and on the CPU; logits are about 1. */
    private static final float[] TOLERANCES = {2e-6f, 2e-5f};

    private static final SamplingOptions GREEDY = SamplingOptions.greedy();

    private static Backend backend(int index) {
        return index == 0 ? new ReferenceBackend() : CpuBackend.open(2);
    }

    /** All prefix lengths around several patch borders, each continued across the next border. */
    @ParameterizedTest
    @CsvSource({"MEGABYTE, 1", "MEGABYTE, 3", "MEGABYTE, 4", "IN_ACTION, 1", "IN_ACTION, 3", "IN_ACTION, 4"})
    void cachedLogitsEqualUncachedOnesAtEveryPrefixLength(Variant variant, int patchSize) {
        cachedLogitsEqualUncachedOnes(TestModels.config(variant, patchSize));
    }

    /** The reference holds bf16 in double precision too, until it is read: half of the last bit of logits below 8. */
    @ParameterizedTest
    @EnumSource
    void cachedLogitsEqualUncachedOnesInBf16(Variant variant) {
        try (Backend backend = new ReferenceBackend()) {
            cachedLogitsEqualUncachedOnes(TestModels.config(variant, 3), DType.BF16, backend, 0x1p-6f);
        }
    }

    @ParameterizedTest
    @EnumSource
    void cachedLogitsEqualUncachedOnesWhereLocalHeadsAreNarrowerThanTheModel(Variant variant) {
        cachedLogitsEqualUncachedOnes(TestModels.narrowHeads(variant));
    }

    private static void cachedLogitsEqualUncachedOnes(MegabyteConfig config) {
        for (int index = 0; index < TOLERANCES.length; index++) {
            try (Backend backend = backend(index)) {
                cachedLogitsEqualUncachedOnes(config, DType.F32, backend, TOLERANCES[index]);
                cachedLogitsEqualUncachedOnes(config, DType.F32, WorkingAhead.of(backend), TOLERANCES[index]);
            }
        }
    }

    private static void cachedLogitsEqualUncachedOnes(MegabyteConfig config, DType dtype, Backend backend,
            float tolerance) {
        int patchSize = config.patchSize();
        int length = 4 * patchSize;
        int[] ids = TestModels.ids(length, config.vocabularySize(), 8);
        try (Parameters parameters = TestModels.random(config, dtype, backend, 2);
                RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, 1, length);
                Predictor predictor = new AlignedPredictor(backend, parameters, 1, length, dtype)) {
            for (int prefix = 0; prefix < length; prefix++) {
                Sequence sequence = new Sequence(0, Arrays.copyOf(ids, prefix), length - prefix);
                int[] text = Arrays.copyOf(ids, length);    // what follows a byte does not matter to it
                predictor.start(List.of(sequence), GREEDY);
                for (int t = prefix; t < Math.min(length, prefix + patchSize + 1); t++) {
                    float[] expected = row(whole.logits(text), t, config.vocabularySize());
                    assertLogits(predictor, sequence, 0, expected, tolerance);
                    text[t] = predictor.id(0);
                    sequence.append(text[t], null);
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
        // ALiBi goes beyond the training length, here of 12 patches.
        MegabyteConfig config = variant == Variant.IN_ACTION ? TestModels.config(variant, patchSize)
                : TestModels.config(variant, patchSize).withMaxLength(152 * patchSize);
        int prefix = patches * patchSize + rest;
        int length = (patches + 1) * patchSize;
        int[] ids = TestModels.ids(length, config.vocabularySize(), 8);
        for (int index = 0; index < TOLERANCES.length; index++) {
            try (Backend backend = backend(index);
                    Parameters parameters = TestModels.random(config, backend, 2);
                    RunnableGraph whole = RunnableGraph.evaluation(backend, parameters, 1, length);
                    Predictor predictor = new AlignedPredictor(backend, parameters, 2, length, DType.F32)) {
                float[] expected = whole.logits(ids);
                // A short one beside it, so that blocks hold padding too.
                Sequence brief = new Sequence(0, Arrays.copyOf(ids, 4), 1);
                Sequence sequence = new Sequence(1, Arrays.copyOf(ids, prefix), length - prefix);
                predictor.start(List.of(brief, sequence), GREEDY);
                assertLogits(predictor, sequence, 1, row(expected, prefix, config.vocabularySize()), TOLERANCES[index]);
            }
        }
    }

    /** A backend that counts the calls of its operations; those of attention by the width of its result. */
    private static Backend counting(Backend backend, Map<String, AtomicInteger> calls) {
        return (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[] {Backend.class},
                (proxy, method, arguments) -> {
                    Object result = method.invoke(backend, arguments);
                    return result instanceof Ops ops ? counting(ops, calls) : result;
                });
    }

    private static Ops counting(Ops ops, Map<String, AtomicInteger> calls) {
        return (Ops) Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class},
                (proxy, method, arguments) -> {
                    String name = method.getName()
                            + (arguments[0] instanceof AttentionShape shape ? " of " + shape.width() : "");
                    calls.computeIfAbsent(name, key -> new AtomicInteger()).incrementAndGet();
                    return method.invoke(ops, arguments);
                });
    }

    @ParameterizedTest
    @EnumSource
    void theGlobalModelRunsOncePerPatchAndTheLocalOneOncePerByte(Variant variant) {
        MegabyteConfig config = TestModels.config(variant, 4);
        Map<String, AtomicInteger> calls = new HashMap<>();
        try (Backend backend = new ReferenceBackend(); Parameters parameters = TestModels.random(config, backend, 2);
                Predictor predictor = new AlignedPredictor(counting(backend, calls), parameters, 1, 40, DType.F32)) {
            Sequence sequence = new Sequence(0, TestModels.ids(8, config.vocabularySize(), 1), 32);
            predictor.start(List.of(sequence), GREEDY);
            predictor.step();
            assertThat(predictor.position(0)).as("behind the prompt's patches").isLessThan(8);
            calls.clear();
            for (int t = 8; t < 36; t++) {
                predictor.step();
                assertThat(predictor.position(0)).isEqualTo(t);
                sequence.append(predictor.id(0), null);
            }
        }
        // A layer of the global model sees P * D_G = 24 elements, one of the local model D_L = 10; each has two layers.
        assertThat(calls.get("cachedAttention of 24").get()).isEqualTo(2 * 7);
        assertThat(calls.get("cachedAttention of 10").get()).isEqualTo(2 * 28);
        assertThat(calls.get("sample").get()).isEqualTo(28);
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
            predictor.start(List.of(longer, sequence), GREEDY);
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
        assertThat(predictor.logits(row)).as("logits at " + sequence.length())
                .containsExactly(expected, within(tolerance));
    }

    private static float[] row(float[] logits, int row, int vocabulary) {
        return Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
    }
}
