package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.TestModels;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

class GeneratorTest {
    private static final int PATCH = 4;
    private static final SamplingOptions RANDOM = SamplingOptions.random(6).withTemperature(1.5);

    private final ReferenceBackend backend = new ReferenceBackend();
    private final List<Parameters> opened = new ArrayList<>();

    private Parameters model(Variant variant) {
        return model(TestModels.config(variant, PATCH));
    }

    private Parameters model(MegabyteConfig config) {
        Parameters parameters = TestModels.random(config, backend, 3);
        opened.add(parameters);
        return parameters;
    }

    @AfterEach
    void close() {
        opened.forEach(Parameters::close);
        backend.close();
    }

    /** Prompts of all lengths from none to two patches and a bit. */
    private static List<int[]> prompts() {
        return IntStream.range(0, 2 * PATCH + 2).mapToObj(length -> TestModels.ids(length, 20, length)).toList();
    }

    private static GenerationRequest request(List<int[]> prompts, SamplingOptions sampling) {
        return new GenerationRequest(prompts, 3 * PATCH - 1, sampling, false, false);
    }

    private List<int[]> generate(Parameters parameters, GenerationRequest request, int batch, Alignment alignment) {
        try (Generator generator = Generator.forRequest(request, backend, parameters, batch, alignment)) {
            return generator.generate(request).stream().map(Generated::ids).toList();
        }
    }

    @ParameterizedTest
    @EnumSource
    void aBatchOfDifferentPromptsGivesWhatEachGivesAlone(Variant variant) {
        Parameters parameters = model(variant);
        for (Alignment alignment : Alignment.values()) {
            List<int[]> together = generate(parameters, request(prompts(), SamplingOptions.greedy()), 99, alignment);
            for (int i = 0; i < prompts().size(); i++) {
                List<int[]> alone = generate(parameters,
                        request(prompts().subList(i, i + 1), SamplingOptions.greedy()), 1, alignment);
                assertThat(together.get(i)).as("prompt of " + i + " bytes, " + alignment)
                        .hasSize(3 * PATCH - 1).containsExactly(alone.getFirst());
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void aSeedGivesTheSameSequencesInEveryBatchSize(Variant variant) {
        Parameters parameters = model(variant);
        GenerationRequest request = request(prompts(), RANDOM);
        List<int[]> expected = generate(parameters, request, 1, Alignment.ALIGNED);
        for (int batch : new int[] {2, 3, 7, 99}) {
            assertThat(generate(parameters, request, batch, Alignment.ALIGNED)).as("batch of " + batch)
                    .usingRecursiveComparison().isEqualTo(expected);
        }
    }

    @Test
    void sequencesOfOnePromptDiffer() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest request = request(List.of(new int[] {1, 2}), RANDOM).repeated(8);
        List<int[]> sequences = generate(parameters, request, 8, Alignment.ALIGNED);
        assertThat(sequences).hasSize(8);
        assertThat(sequences.stream().map(Arrays::toString).distinct()).hasSize(8);
    }

    @Test
    void aContinuationCanBeContinued() {
        Parameters parameters = model(Variant.IN_ACTION);
        int[] prompt = {5, 6, 7};
        int[] whole = generate(parameters, request(List.of(prompt), RANDOM), 1, Alignment.ALIGNED).getFirst();
        int[] longer = IntStream.concat(Arrays.stream(prompt), Arrays.stream(whole, 0, 5)).toArray();
        int[] rest = generate(parameters, request(List.of(longer), RANDOM), 1, Alignment.ALIGNED).getFirst();
        assertThat(Arrays.copyOf(rest, whole.length - 5)).containsExactly(Arrays.copyOfRange(whole, 5, whole.length));
    }

    @Test
    void aGeneratorCanBeUsedAgain() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest many = request(prompts(), RANDOM);
        GenerationRequest one = request(prompts().subList(5, 6), RANDOM);
        List<int[]> expected = generate(parameters, one, 1, Alignment.ALIGNED);
        try (Generator generator = Generator.forRequest(many, backend, parameters, 4, Alignment.ALIGNED)) {
            generator.generate(many);
            assertThat(generator.generate(one).getFirst().ids()).containsExactly(expected.getFirst());
        }
    }

    @Test
    void changedWeightsCount() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest request = request(prompts().subList(3, 4), SamplingOptions.greedy());
        try (Generator generator = Generator.forRequest(request, backend, parameters, 1, Alignment.ALIGNED)) {
            int[] before = generator.generate(request).getFirst().ids();
            float[] bias = new float[29];
            bias[11] = 100;
            backend.write(parameters.get("to_logits.bias"), bias);
            assertThat(before).isNotEqualTo(generator.generate(request).getFirst().ids());
            assertThat(generator.generate(request).getFirst().ids()).containsOnly(11);
        }
    }

    /** A model whose greedy continuation is eos, and sampled ones hold it at different places. */
    private Parameters modelThatLikesEos(float bias) {
        return modelThatLikesEos(Variant.IN_ACTION, bias);
    }

    private Parameters modelThatLikesEos(Variant variant, float bias) {
        Parameters parameters = model(variant);
        float[] values = new float[29];
        values[28] = bias;
        backend.write(parameters.get("to_logits.bias"), values);
        return parameters;
    }

    @Test
    void eosEndsEachSequenceAtItsOwnPlace() {
        Parameters parameters = modelThatLikesEos(2);
        GenerationRequest request = request(prompts(), RANDOM);
        List<int[]> whole = generate(parameters, request, 99, Alignment.ALIGNED);
        try (Generator generator = Generator.forRequest(request, backend, parameters, 99, Alignment.ALIGNED)) {
            List<Generated> stopped = generator.generate(request.withStopAtEos(true));
            for (int i = 0; i < whole.size(); i++) {
                int eos = IntStream.of(whole.get(i)).boxed().toList().indexOf(28);
                assertThat(stopped.get(i).end()).isEqualTo(eos < 0 ? Generated.End.LENGTH : Generated.End.EOS);
                assertThat(stopped.get(i).ids())
                        .containsExactly(eos < 0 ? whole.get(i) : Arrays.copyOf(whole.get(i), eos + 1));
            }
            assertThat(stopped.stream().mapToInt(g -> g.ids().length).distinct().count()).isGreaterThan(2);
        }
    }

    @Test
    void theListenerHearsEveryIdAndCanEndASequence() {
        Parameters parameters = model(Variant.MEGABYTE);
        GenerationRequest request = request(prompts().subList(2, 5), RANDOM);
        List<int[]> whole = generate(parameters, request, 2, Alignment.ALIGNED);
        List<List<Integer>> heard = List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
        try (Generator generator = Generator.forRequest(request, backend, parameters, 2, Alignment.ALIGNED)) {
            List<Generated> results = generator.generate(request, (sequence, id) -> {
                heard.get(sequence).add(id);
                return sequence != 1 || heard.get(1).size() < 6;
            });
            for (int i = 0; i < 3; i++) {
                int[] expected = i == 1 ? Arrays.copyOf(whole.get(i), 6) : whole.get(i);
                assertThat(results.get(i).ids()).containsExactly(expected);
                assertThat(heard.get(i).stream().mapToInt(id -> id)).containsExactly(
                        IntStream.of(expected).boxed().toArray(Integer[]::new));
                assertThat(results.get(i).end()).isEqualTo(i == 1 ? Generated.End.LISTENER : Generated.End.LENGTH);
            }
        }
    }

    @Test
    void aListenerThatThrowsLeavesTheGeneratorUsable() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest request = request(prompts().subList(2, 3), RANDOM);
        try (Generator generator = Generator.forRequest(request, backend, parameters, 1, Alignment.ALIGNED)) {
            int[] expected = generator.generate(request).getFirst().ids();
            assertThatThrownBy(() -> generator.generate(request, (sequence, id) -> {
                throw new IllegalStateException("the reader has gone");
            })).hasMessage("the reader has gone");
            assertThat(generator.generate(request).getFirst().ids()).containsExactly(expected);
        }
    }

    @Test
    void scoresAreThoseOfTheModelWhateverTheOptions() {
        Parameters parameters = model(Variant.IN_ACTION);
        GenerationRequest request = request(prompts().subList(2, 3), RANDOM.withTopK(4)).withScores(true);
        try (Generator generator = Generator.forRequest(request, backend, parameters, 1, Alignment.ALIGNED);
                Predictor predictor = new AlignedPredictor(backend, parameters, 1, request.length(), DType.F32)) {
            Generated generated = generator.generate(request).getFirst();
            Sequence sequence = new Sequence(0, request.prompts().getFirst(), request.newIds());
            predictor.start(List.of(sequence), request.sampling());
            for (int i = 0; i < generated.ids().length; i++) {
                do {
                    predictor.step();
                } while (predictor.position(0) < sequence.length());
                float[] logits = predictor.logits(0);
                sequence.append(generated.ids()[i], null);
                double sum = 0;
                for (float logit : logits) {
                    sum += Math.exp(logit);
                }
                Score score = generated.scores().get(i);
                double expected = Math.log(Math.exp(logits[generated.ids()[i]]) / sum);
                assertThat(score.logProbability()).isCloseTo(expected, within(1e-9));
                Arrays.sort(logits);
                assertThat(score.topLogit()).isEqualTo(logits[28]);
                assertThat(score.lead()).isEqualTo(logits[28] - logits[27]);
            }
            assertThat(generator.generate(request(request.prompts(), RANDOM)).getFirst().scores()).isEmpty();
        }
    }

    /** A device that gets a patch at once, and one that gets a byte at once. */
    @ParameterizedTest
    @EnumSource
    void aWholePatchAtOnceGivesTheSame(Variant variant) {
        Parameters parameters = modelThatLikesEos(variant, 0.3f);
        Set<Generated.End> ends = EnumSet.noneOf(Generated.End.class);
        Backend ahead = WorkingAhead.of(backend);
        for (SamplingOptions sampling : List.of(SamplingOptions.greedy(), RANDOM.withTopK(9).withTopP(0.8),
                RANDOM.withRepetitionPenalty(3).withBytesOnly(true))) {
            GenerationRequest request = request(prompts(), sampling).withStopAtEos(true).withScores(true);
            try (Generator byBytes = Generator.forRequest(request, backend, parameters, 4, Alignment.ALIGNED);
                    Generator byPatches = Generator.forRequest(request, ahead, parameters, 4, Alignment.ALIGNED)) {
                List<Integer> heard = new ArrayList<>();
                List<Generated> expected = byBytes.generate(request, (sequence, id) -> listen(heard, sequence, id));
                List<Integer> heardLater = new ArrayList<>();
                assertThat(byPatches.generate(request, (sequence, id) -> listen(heardLater, sequence, id)))
                        .usingRecursiveComparison().isEqualTo(expected);
                assertThat(heardLater).isEqualTo(heard);
                expected.forEach(generated -> ends.add(generated.end()));
            }
        }
        assertThat(ends).hasSize(3);
    }

    /** Notes an id, and wants no more than two of sequence 3. */
    private static boolean listen(List<Integer> heard, int sequence, int id) {
        heard.add(1000 * sequence + id);
        return sequence != 3 || heard.stream().filter(own -> own / 1000 == 3).count() < 2;
    }

    @ParameterizedTest
    @EnumSource
    void aModelWithoutUsableLogitsIsRefused(Alignment alignment) {
        Parameters parameters = model(Variant.IN_ACTION);
        float[] bias = new float[29];
        bias[11] = Float.NaN;
        backend.write(parameters.get("to_logits.bias"), bias);
        for (Backend device : List.of(backend, WorkingAhead.of(backend))) {
            GenerationRequest request = request(List.of(new int[6]), RANDOM);
            try (Generator generator = Generator.forRequest(request, device, parameters, 1, alignment)) {
                assertThatThrownBy(() -> generator.generate(request)).isInstanceOf(GenerationException.class)
                        .hasMessage("the model gives the logit NaN for id 11 at position 6 of sequence 0; its weights"
                                + " are damaged or its training diverged");
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void bytesOnlyLeavesBytesAndEos(Alignment alignment) {
        Parameters parameters = model(new MegabyteConfig(Variant.IN_ACTION, 300, PATCH, 6, 10, 48, 1, 2, 1, 2, 0.02,
                257, 258));
        float[] bias = new float[300];
        Arrays.fill(bias, 256, 300, 50);
        bias[258] = -1;
        backend.write(parameters.get("to_logits.bias"), bias);
        GenerationRequest request = request(prompts().subList(0, 3), RANDOM.withTemperature(50).withBytesOnly(true));
        assertThat(generate(parameters, request, 3, alignment))
                .allMatch(ids -> Arrays.stream(ids).allMatch(id -> id < 256 || id == 258));
        bias[258] = 60;
        backend.write(parameters.get("to_logits.bias"), bias);
        GenerationRequest greedy = request.withSampling(SamplingOptions.greedy().withBytesOnly(true));
        assertThat(generate(parameters, greedy, 3, alignment))
                .allSatisfy(ids -> assertThat(ids).containsOnly(258));
    }

    @ParameterizedTest
    @EnumSource
    void theRepetitionPenaltySeesPromptAndContinuation(Alignment alignment) {
        Parameters parameters = model(Variant.IN_ACTION);
        // With such a penalty a greedy choice takes an id again only when nothing else is left.
        float[] bias = new float[29];
        Arrays.fill(bias, 100);
        backend.write(parameters.get("to_logits.bias"), bias);
        int[] prompt = {0, 1, 2, 3, 4, 5};
        int[] ids = generate(parameters, request(List.of(prompt), SamplingOptions.greedy().withRepetitionPenalty(9)), 1,
                alignment).getFirst();
        assertThat(IntStream.concat(Arrays.stream(prompt), Arrays.stream(ids))).doesNotHaveDuplicates();
    }

    @ParameterizedTest
    @EnumSource
    void allMemoryIsGivenBack(Alignment alignment) {
        try (CpuBackend cpu = CpuBackend.open(1);
                Parameters parameters = TestModels.random(TestModels.config(Variant.IN_ACTION, PATCH), cpu, 3)) {
            long weights = cpu.heldBytes();
            GenerationRequest request = request(prompts(), RANDOM);
            try (Generator generator = Generator.forRequest(request, cpu, parameters, 4, alignment)) {
                assertThat(cpu.heldBytes()).isEqualTo(weights);
                generator.generate(request);
                long held = cpu.heldBytes();
                assertThat(held - weights).isPositive().isLessThanOrEqualTo(generator.plan().bytes());
                generator.generate(request);
                assertThat(cpu.heldBytes()).isEqualTo(held);
            }
            assertThat(cpu.heldBytes()).isEqualTo(weights);
        }
    }

    @Test
    void theLastPositionThatAModelLearnedCanBeGenerated() {
        MegabyteConfig config = TestModels.config(Variant.MEGABYTE, PATCH);
        Parameters parameters = model(config);
        int[] prompt = new int[config.maxLength() - 5];
        for (Alignment alignment : Alignment.values()) {
            var request = new GenerationRequest(List.of(prompt, new int[0]), 5, RANDOM, false, false);
            assertThat(generate(parameters, request, 2, alignment).getFirst()).hasSize(5);
        }
    }

    @Test
    void moreThanTheLearnedPositionsIsRefused() {
        Parameters parameters = model(Variant.MEGABYTE);
        assertRefused(parameters, new int[48], 1, GenerationException.class,
                "a prompt of 48 bytes leaves no room for new ones in the 48 positions (T_MAX) that this model learned;"
                        + " shorten it to at most 47 bytes, or use a model of the variant megabyte_in_action");
        assertRefused(parameters, new int[40], 9, GenerationException.class,
                "a prompt of 40 bytes and 9 new ones need 49 positions, more than the 48 (T_MAX) that this model"
                        + " learned; use at most 8 new bytes, or a model of the variant megabyte_in_action");
        var request = new GenerationRequest(List.of(new int[50]), 60, RANDOM, false, false);
        assertThat(generate(model(Variant.IN_ACTION), request, 1, Alignment.ALIGNED).getFirst()).hasSize(60);
    }

    @Test
    void impossibleRequestsAreRefused() {
        Parameters parameters = model(Variant.IN_ACTION);
        assertRefused(parameters, new int[] {3, 29}, 4, ConfigException.class,
                "id 29 at index 1 is outside the vocabulary of 29 ids; use 0 to 28");
        assertRefused(parameters, new int[] {-1}, 4, ConfigException.class,
                "id -1 at index 0 is outside the vocabulary of 29 ids; use 0 to 28");
        assertRefused(parameters, new int[0], 0, GenerationException.class,
                "0 new bytes are not possible; use at least 1");
        assertRefused(parameters, new int[10], Integer.MAX_VALUE, GenerationException.class,
                "a prompt of 10 bytes and 2147483647 new ones are more than a sequence can have; use at most 2147483637"
                        + " new bytes");
        assertThatThrownBy(() -> new GenerationRequest(List.of(), 1, RANDOM, true, false))
                .hasMessage("there is no prompt to continue; give at least one, which may be empty");
        try (Generator generator = new Generator(backend, parameters, 1, 16)) {
            assertThatThrownBy(() -> generator.generate(GenerationRequest.of(new byte[10], 7)))
                    .isInstanceOf(GenerationException.class)
                    .hasMessage("the request needs sequences of 17 bytes, but this generator is planned for 16; plan it"
                            + " for 17");
        }
        assertThatThrownBy(() -> new Generator(backend, parameters, 0, 16)).isInstanceOf(GenerationException.class)
                .hasMessage("a generator for 0 sequences of 16 bytes is not possible; use at least 1 of each");
        assertThatThrownBy(() -> new Generator(backend, model(Variant.MEGABYTE), 1, 50))
                .isInstanceOf(ConfigException.class)
                .hasMessage("sequence length 52 is longer than the 48 positions (T_MAX) that this model learned; use at"
                        + " most 48, or the variant megabyte_in_action");
    }

    private void assertRefused(Parameters parameters, int[] prompt, int newIds, Class<? extends Exception> type,
            String message) {
        assertThatThrownBy(() -> generate(parameters,
                new GenerationRequest(List.of(prompt), newIds, RANDOM, true, false), 1, Alignment.ALIGNED))
                .isInstanceOf(type).hasMessage(message);
    }

    @Test
    void textLeavesSpecialIdsOut() {
        int[] ids = {0x4A, 0xC3, 0xBC, 257, 0xFF, 300, 0x21, 258};
        assertThat(new Generated(ids, List.of(), Generated.End.EOS).text()).isEqualTo("Jü\uFFFD!");
    }

    @Test
    void textPromptsAreUtf8() {
        assertThat(GenerationRequest.of("ü!", 1).prompts().getFirst()).containsExactly(0xC3, 0xBC, 0x21);
    }
}
