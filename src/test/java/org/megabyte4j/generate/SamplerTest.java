package org.megabyte4j.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.FloatRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.Sampler;

class SamplerTest {
    private static final BitSet NONE = new BitSet();
    private static final SamplingOptions RANDOM = SamplingOptions.random(3);

    /** The sampler with settings, as a device's operation asks it. */
    private record Choice(SamplingOptions options, Sampler sampler, int[] allowed) {
        int choose(float[] logits, BitSet seen, int sequence, int position) {
            int[] words = new int[Math.ceilDiv(logits.length, 32)];
            seen.stream().forEach(id -> words[id / 32] |= 1 << id % 32);
            int id = sampler.choose(options.settings(), logits, allowed, words, sequence, position);
            if (sampler.fault() != 0) {
                throw GenerationException.of(sampler.fault(), sequence, position);
            }
            return id;
        }
    }

    private static Choice sampler(SamplingOptions options, int vocabulary) {
        int[] allowed = new int[vocabulary];
        Arrays.fill(allowed, 1);
        return new Choice(options, new Sampler(vocabulary), allowed);
    }

    /** Logits with many equal values. */
    private static float[] coarseLogits(long seed, int vocabulary) {
        Random random = new Random(seed);
        float[] logits = new float[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            logits[i] = random.nextInt(-4, 5) * 0.5f;
        }
        return logits;
    }

    private static double[] softmax(float[] logits, double temperature) {
        double max = IntStream.range(0, logits.length).mapToDouble(i -> logits[i]).max().orElseThrow();
        double[] p = IntStream.range(0, logits.length).mapToDouble(i -> Math.exp((logits[i] - max) / temperature))
                .toArray();
        double sum = Arrays.stream(p).sum();
        return Arrays.stream(p).map(v -> v / sum).toArray();
    }

    /** Ids by logit, the largest first, lower ids first among equals. */
    private static List<Integer> ranked(float[] logits) {
        return IntStream.range(0, logits.length).boxed()
                .sorted(Comparator.<Integer>comparingDouble(i -> -logits[i]).thenComparing(i -> i)).toList();
    }

    private static Set<Integer> reachable(SamplingOptions options, float[] logits, int draws) {
        Choice sampler = sampler(options, logits.length);
        Set<Integer> ids = new TreeSet<>();
        for (int i = 0; i < draws; i++) {
            ids.add(sampler.choose(logits, NONE, 0, i));
        }
        return ids;
    }

    @Property(tries = 200)
    void greedyTakesTheLargestLogitAndTheLowestIdAmongEquals(@ForAll long seed,
            @ForAll @IntRange(min = 1, max = 40) int v) {
        float[] logits = coarseLogits(seed, v);
        assertThat(sampler(SamplingOptions.greedy(), v).choose(logits, NONE, 0, 0))
                .isEqualTo(ranked(logits).getFirst());
    }

    @Property(tries = 200)
    void theLogitsAreLeftAsTheyAre(@ForAll @Size(9) float[] logits) {
        for (int i = 0; i < logits.length; i++) {
            logits[i] = Float.isFinite(logits[i]) ? logits[i] : 0;
        }
        float[] before = logits.clone();
        BitSet seen = new BitSet();
        seen.set(0, 5);
        sampler(RANDOM.withTopK(3).withTopP(0.5).withRepetitionPenalty(1.5), 9).choose(logits, seen, 0, 0);
        assertThat(logits).containsExactly(before);
    }

    @Property(tries = 60)
    void topKKeepsTheBestKAndNoOther(@ForAll long seed, @ForAll @IntRange(min = 1, max = 12) int k) {
        float[] logits = coarseLogits(seed, 10);
        // At a high temperature every id that is kept comes up within 400 draws.
        Set<Integer> ids = reachable(RANDOM.withTemperature(50).withTopK(k), logits, 400);
        assertThat(ids).isEqualTo(new TreeSet<>(ranked(logits).subList(0, Math.min(k, 10))));
    }

    @Property(tries = 100)
    void topPKeepsTheSmallestSetThatHoldsTheMass(@ForAll long seed,
            @ForAll @DoubleRange(min = 0.05, max = 0.98) double round) {
        double p = round + 1e-5 * Math.PI;     // never exactly the mass of a set
        float[] logits = coarseLogits(seed, 8);
        double[] probability = softmax(logits, 2);
        Set<Integer> expected = new TreeSet<>();
        double mass = 0;
        for (int id : ranked(logits)) {
            if (mass >= p) {
                break;
            }
            expected.add(id);
            mass += probability[id];
        }
        assertThat(reachable(RANDOM.withTemperature(2).withTopP(p), logits, 1500)).isEqualTo(expected);
    }

    @Test
    void topPCountsTheMassThatTopKLeaves() {
        float[] logits = logs(0.4, 0.3, 0.2, 0.1);
        // Among the first two 0.4 holds 4/7 of the mass.
        assertThat(reachable(RANDOM.withTopP(0.5), logits, 500)).containsExactly(0, 1);
        assertThat(reachable(RANDOM.withTopK(2).withTopP(0.5), logits, 500)).containsExactly(0);
    }

    @Test
    void temperatureComesBeforeTopP() {
        float[] logits = logs(0.6, 0.3, 0.1);
        assertThat(reachable(RANDOM.withTopP(0.6), logits, 500)).containsExactly(0);
        assertThat(reachable(RANDOM.withTopP(0.6).withTemperature(4), logits, 500)).containsExactly(0, 1);
    }

    @Property(tries = 200)
    void aTinyTemperatureIsGreedy(@ForAll @Size(20) List<@FloatRange(min = -100, max = 100) Float> values,
            @ForAll @IntRange(min = 0, max = 1000) int position) {
        float[] logits = new float[values.size()];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = Math.round(values.get(i)) + i * 1e-3f;     // no two are equal
        }
        int greedy = sampler(SamplingOptions.greedy(), 20).choose(logits, NONE, 0, position);
        assertThat(sampler(RANDOM.withTemperature(1e-300), 20).choose(logits, NONE, 0, position)).isEqualTo(greedy);
        assertThat(sampler(RANDOM.withTemperature(1e-6), 20).choose(logits, NONE, 0, position)).isEqualTo(greedy);
        assertThat(sampler(RANDOM.withTopK(1).withTemperature(9), 20).choose(logits, NONE, 0, position))
                .isEqualTo(greedy);
    }

    @Test
    void drawsFollowTheSoftmaxOfTheLogitsOverTheTemperature() {
        float[] logits = {2f, -1f, 0.5f, 0f, 1.5f, -3f, 1f, 0.25f};
        int draws = 200_000;
        double[] expected = softmax(logits, 0.7);
        int[] counts = new int[logits.length];
        Choice sampler = sampler(RANDOM.withTemperature(0.7), logits.length);
        for (int i = 0; i < draws; i++) {
            counts[sampler.choose(logits, NONE, 11, i)]++;
        }
        double chiSquare = 0;
        for (int i = 0; i < counts.length; i++) {
            double want = expected[i] * draws;
            chiSquare += (counts[i] - want) * (counts[i] - want) / want;
        }
        // 7 degrees of freedom: 24.3 is exceeded once in a thousand seeds.
        assertThat(chiSquare).isLessThan(24.3);
    }

    @Test
    void theRepetitionPenaltyDividesPositiveAndMultipliesNegativeLogitsOfSeenIds() {
        BitSet seen = new BitSet();
        seen.set(0);
        seen.set(2);
        Choice penalised = sampler(SamplingOptions.greedy().withRepetitionPenalty(2), 4);
        // 5 / 2 = 2.5 falls behind 3; without a penalty id 0 wins.
        assertThat(penalised.choose(new float[] {5, 3, 1, -9}, seen, 0, 0)).isEqualTo(1);
        assertThat(penalised.choose(new float[] {5, 2, 1, -9}, seen, 0, 0)).isEqualTo(0);
        assertThat(penalised.choose(new float[] {5, 3, 1, -9}, NONE, 0, 0)).isEqualTo(0);
        // -1 * 2 = -2 falls behind -1.5.
        assertThat(penalised.choose(new float[] {-1, -1.5f, -1.75f, -9}, seen, 0, 0)).isEqualTo(1);
        // A penalty below 1 prefers what was seen.
        assertThat(sampler(SamplingOptions.greedy().withRepetitionPenalty(0.5), 4)
                .choose(new float[] {2, 3, 1, -9}, seen, 0, 0)).isEqualTo(0);
    }

    @Test
    void whatIsNotAllowedIsNeverChosen() {
        float[] logits = new float[300];
        Arrays.fill(logits, 256, 300, 9);
        Choice bytes = sampler(RANDOM, 300);
        Arrays.fill(bytes.allowed, 256, 300, 0);
        bytes.allowed[258] = 1;
        Set<Integer> ids = IntStream.range(0, 200).map(i -> bytes.choose(logits, NONE, 0, i)).boxed()
                .collect(Collectors.toSet());
        assertThat(ids).contains(258).allMatch(id -> id < 256 || id == 258);
        logits[258] = -1;
        Choice greedy = new Choice(SamplingOptions.greedy(), bytes.sampler, bytes.allowed);
        assertThat(greedy.choose(logits, NONE, 0, 0)).isZero();
        assertThat(sampler(SamplingOptions.greedy(), 300).choose(logits, NONE, 0, 0)).isEqualTo(256);
    }

    @Test
    void aDrawDependsOnSeedSequenceAndPositionAlone() {
        float[] logits = new float[200];
        int[] first = draws(sampler(RANDOM, 200), logits, 0);
        Choice used = sampler(RANDOM, 200);
        draws(used, logits, 17);
        assertThat(draws(used, logits, 0)).containsExactly(first);
        assertThat(draws(used, logits, 1)).isNotEqualTo(first);
        assertThat(draws(sampler(RANDOM.withSeed(4), 200), logits, 0)).isNotEqualTo(first);
    }

    private static int[] draws(Choice sampler, float[] logits, int sequence) {
        return IntStream.range(0, 50).map(i -> sampler.choose(logits, NONE, sequence, i)).toArray();
    }

    @Test
    void logitsThatAreNoNumbersAreRefused() {
        assertThatThrownBy(() -> sampler(RANDOM, 3).choose(new float[] {0, Float.NaN, 1}, NONE, 2, 40))
                .isInstanceOf(GenerationException.class)
                .hasMessage("the model gives the logit NaN for id 1 at position 40 of sequence 2; its weights are"
                        + " damaged or its training diverged");
        assertThatThrownBy(() -> sampler(RANDOM, 3).choose(new float[] {0, 2, Float.POSITIVE_INFINITY}, NONE, 0, 1))
                .hasMessage("the model gives the logit Infinity for id 2 at position 1 of sequence 0; its weights are"
                        + " damaged or its training diverged");
        assertThatThrownBy(() -> sampler(RANDOM, 2)
                .choose(new float[] {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY}, NONE, 0, 0))
                .isInstanceOf(GenerationException.class)
                .hasMessage("the model gives every id that may be chosen the logit -Infinity at position 0 of sequence"
                        + " 0; its weights are damaged or its training diverged");
    }

    @Test
    void optionsThatMakeNoSenseAreRefused() {
        assertRefused(() -> RANDOM.withTemperature(-1),
                "temperature -1.0 is not possible; use 0 for greedy choice, or a positive number such as 0.8");
        assertRefused(() -> RANDOM.withTemperature(Double.NaN),
                "temperature NaN is not possible; use 0 for greedy choice, or a positive number such as 0.8");
        assertRefused(() -> RANDOM.withTopK(-2), "top-k -2 is not possible; use at least 1, or 0 for no limit");
        assertRefused(() -> RANDOM.withTopP(0),
                "top-p 0.0 is not possible; use a number above 0, and at most 1 for no limit");
        assertRefused(() -> RANDOM.withTopP(1.5),
                "top-p 1.5 is not possible; use a number above 0, and at most 1 for no limit");
        assertRefused(() -> RANDOM.withRepetitionPenalty(0),
                "repetition penalty 0.0 is not possible; use a positive number, 1 for none");
    }

    private static void assertRefused(Runnable options, String message) {
        assertThatThrownBy(options::run).isInstanceOf(GenerationException.class).hasMessage(message);
    }

    private static float[] logs(double... probabilities) {
        float[] logits = new float[probabilities.length];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) Math.log(probabilities[i]);
        }
        return logits;
    }
}
