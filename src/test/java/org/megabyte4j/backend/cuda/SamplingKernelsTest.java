package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Ids are those of {@link org.megabyte4j.backend.Sampler}, one by one: it is what the CPU backend asks. */
class SamplingKernelsTest {
    /** Settings of all kinds, so that every path and its neighbours are taken. */
    private static SamplingSettings settings(Random random, int vocabulary) {
        double temperature = new double[] {0, 1e-300, 0.3, 1, 2.5, 50}[random.nextInt(6)];
        int topK = new int[] {0, 1, 2, vocabulary - 1, vocabulary, vocabulary + 1, 1 + random.nextInt(vocabulary)}[
                random.nextInt(7)];
        double topP = new double[] {1, 1, 1e-320, 0.5, 0.9, random.nextDouble() + 1e-9}[random.nextInt(6)];
        double penalty = new double[] {1, 1, 1.3, 0.5}[random.nextInt(4)];
        return new SamplingSettings(temperature, Math.max(0, topK), Math.min(1, topP), penalty, random.nextLong());
    }

    /** Coarse logits are full of ties; some are minus infinity, and of both zeros. */
    private static float[] logits(Random random, int count) {
        float[] logits = new float[count];
        boolean coarse = random.nextBoolean();
        for (int i = 0; i < count; i++) {
            logits[i] = coarse ? random.nextInt(-3, 4) * 0.5f : (float) (5 * random.nextGaussian());
            logits[i] = random.nextInt(20) == 0 ? Float.NEGATIVE_INFINITY : random.nextInt(20) == 0 ? -0f : logits[i];
        }
        return logits;
    }

    private static Function<Tensors, Consumer<Ops>> work(long seed, int batch, int vocabulary) {
        return t -> {
            Random random = new Random(seed);
            Tensor settings = t.ints(settings(random, vocabulary).toInts());
            Tensor logits = t.values(DType.F32, logits(random, batch * vocabulary), batch, vocabulary);
            boolean all = random.nextBoolean();
            Tensor allowed = t.ints(random.ints(vocabulary, 0, 3).map(v -> all ? 1 : v).toArray());
            Tensor sequences = t.ints(random.ints(batch, 0, 1000).toArray());
            Tensor positions = t.ints(random.ints(batch, 0, Integer.MAX_VALUE).toArray());
            Tensor forced = t.ints(random.ints(batch, 0, 5).map(v -> v == 0 ? random.nextInt(vocabulary) : -1)
                    .toArray());
            int words = Math.ceilDiv(vocabulary, 32);
            Tensor seen = t.ints(random.ints((long) batch * words).toArray());
            Tensor chosen = t.ints(filled(batch));
            Tensor faults = t.ints(filled(batch));
            t.changed("seen", seen);
            t.changed("chosen", chosen);
            t.changed("faults", faults);
            t.changed("logits", logits);
            return ops -> ops.sample(logits, settings, allowed, sequences, positions, forced, seen.view(batch, words),
                    chosen, faults);
        };
    }

    private static int[] filled(int count) {
        int[] values = new int[count];
        Arrays.fill(values, -7);
        return values;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 31, 32, 33, 255, 256, 257, 259, 512, 1000, 2049, 4096})
    void idsAreThoseOfTheHost(int vocabulary) {
        int tries = vocabulary > 1000 ? 8 : 60;
        try (CpuBackend cpu = CpuBackend.open(1)) {
            for (int i = 0; i < tries; i++) {
                var work = work(1000L * vocabulary + i, 3, vocabulary);
                Map<String, float[]> expected = Comparison.run(cpu, DType.F32, work, 1).getFirst();
                Comparison.sameBits(TestDevice.backend(), expected,
                        Comparison.run(TestDevice.backend(), DType.F32, work, 1).getFirst());
            }
        }
    }

    @Test
    void idsAreThoseOfTheHostInAnyOrderOfThreads() {
        for (int seed = 0; seed < 10; seed++) {
            var work = work(seed, 2, 77);
            Map<String, float[]> expected = KernelComparison.run(DType.F32, work);
            TestDevice.inRandomOrder(seed, () -> Comparison.sameBits(TestDevice.backend(), expected,
                    KernelComparison.run(DType.F32, work)));
        }
    }

    private static Map<String, float[]> faulty(float[] logits, int... allowed) {
        return KernelComparison.run(DType.F32, t -> {
            Tensor row = t.values(DType.F32, logits, 1, logits.length);
            Tensor settings = t.ints(new SamplingSettings(1, 0, 1, 1, 5).toInts());
            Tensor zero = t.ints(0);
            Tensor forced = t.ints(-1);
            Tensor may = t.ints(allowed);
            Tensor seen = t.ints(0);
            Tensor chosen = t.ints(-7);
            Tensor faults = t.ints(-7);
            t.changed("seen", seen);
            t.changed("chosen", chosen);
            t.changed("faults", faults);
            return ops -> ops.sample(row, settings, may, zero, zero, forced, seen.view(1, 1), chosen, faults);
        });
    }

    @Test
    void unusableLogitsAreFaults() {
        float infinity = Float.POSITIVE_INFINITY;
        assertFault(2, faulty(new float[] {0, Float.NaN, 1, Float.NaN}, 1, 1, 1, 1));
        assertFault(-3, faulty(new float[] {0, 5, infinity, Float.NaN}, 1, 1, 1, 1));
        assertFault(1, faulty(new float[] {Float.NaN, infinity, 0, 0}, 0, 0, 1, 1));
        assertFault(Ops.NOTHING_TO_CHOOSE, faulty(new float[] {-infinity, -infinity}, 1, 1));
        assertFault(Ops.NOTHING_TO_CHOOSE, faulty(new float[] {3, -infinity}, 0, 1));
    }

    private static void assertFault(int fault, Map<String, float[]> results) {
        assertThat(results.get("faults")).containsExactly(fault);
        assertThat(results.get("chosen")).containsExactly(0);
        assertThat(results.get("seen")).containsExactly(0);
    }

    @Test
    void aVocabularyThatIsTooLargeIsRefused() {
        TestDevice.backend();    // without a device the test is skipped, not failed
        assertThatThrownBy(() -> KernelComparison.run(DType.F32, work(1, 1, 4097))).isInstanceOf(ShapeException.class)
                .hasMessage("a GPU can choose among 4096 ids, but the vocabulary has 4097; use --device cpu");
    }
}
