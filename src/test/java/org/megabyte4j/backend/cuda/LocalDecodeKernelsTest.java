package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.LocalModel;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.backend.Sampler;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Presets;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** A patch at one go against the operations one by one, in double precision; ids against those of the host's sampler. */
class LocalDecodeKernelsTest {
    private record Shape(int batch, int patch, int layers, int dim, int heads, int headSize, int vocabulary,
            AttentionBias bias) { }

    /** Weights as in an arena: each tensor at a multiple of 64 elements, layers equally far apart. */
    private static final class Weights {
        private static final int ALIGNMENT = 64;
        final Tensors t;
        final Shape shape;
        final List<float[]> parts = new ArrayList<>();
        int end;

        Weights(Tensors t, Shape shape) {
            this.t = t;
            this.shape = shape;
        }

        private int[] add(double mean, double deviation, int... sizes) {
            int count = Math.toIntExact(Tensor.elements(Arrays.stream(sizes).asLongStream().toArray()));
            float[] values = new float[Math.ceilDiv(count, ALIGNMENT) * ALIGNMENT];
            for (int i = 0; i < count; i++) {
                values[i] = (float) (mean + deviation * t.nextGaussian());
            }
            parts.add(values);
            int[] place = new int[sizes.length + 1];
            System.arraycopy(sizes, 0, place, 1, sizes.length);
            place[0] = end;
            end += values.length;
            return place;
        }

        private int[] matrix(int out, int in) {
            return add(0, Math.pow(in, -0.5), out, in);
        }

        private static Tensor at(Tensor arena, int[] place) {
            long[] sizes = new long[place.length - 1];
            for (int i = 0; i < sizes.length; i++) {
                sizes[i] = place[i + 1];
            }
            return arena.part(place[0], sizes);
        }

        LocalModel model() {
            int dim = shape.dim();
            int width = shape.heads() * shape.headSize();
            int[] table = add(0, 0.5, shape.vocabulary(), dim);
            List<int[][]> layers = new ArrayList<>();
            for (int i = 0; i < shape.layers(); i++) {
                layers.add(new int[][] {add(1, 0.1, dim), add(0, 0.1, dim), matrix(width + 2 * shape.headSize(), dim),
                    matrix(dim, width), add(1, 0.1, dim), add(0, 0.1, dim), matrix(4 * dim, dim), add(0, 0.1, 4 * dim),
                    matrix(dim, 4 * dim), add(0, 0.1, dim)});
            }
            int[] head = matrix(shape.vocabulary(), dim);
            int[] headBias = add(0, 0.1, shape.vocabulary());
            float[] all = new float[end];
            int to = 0;
            for (float[] part : parts) {
                System.arraycopy(part, 0, all, to, part.length);
                to += part.length;
            }
            Tensor arena = t.values(all, end);
            return new LocalModel(at(arena, table), layers.stream().map(of -> {
                Tensor[] w = Arrays.stream(of).map(place -> at(arena, place)).toArray(Tensor[]::new);
                return new LocalModel.Layer(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]);
            }).toList(), at(arena, head), at(arena, headBias), shape.heads(), shape.bias());
        }
    }

    /** What {@code decodePatch} says it is. */
    private static Consumer<Ops> byteByByte(Tensors t, Shape shape, LocalModel model, Tensor slices, PatchChoice choice,
            Tensor logits) {
        int batch = shape.batch();
        long dim = shape.dim();
        var attention = new AttentionShape(batch, 1, shape.heads(), 1, shape.headSize());
        Tensor x = t.scratch(t.dtype(), batch, dim);
        Tensor normed = t.scratch(t.dtype(), batch, dim);
        Tensor qkv = t.scratch(t.dtype(), batch, attention.packedWidth());
        Tensor attended = t.scratch(t.dtype(), batch, attention.width());
        Tensor hidden = t.scratch(t.dtype(), batch, 4 * dim);
        Tensor activated = t.scratch(t.dtype(), batch, 4 * dim);
        Tensor mean = t.scratch(DType.F32, batch);
        Tensor rstd = t.scratch(DType.F32, batch);
        Tensor scores = t.scratch(t.dtype(), batch, shape.vocabulary());
        List<Tensor> caches = new ArrayList<>();
        for (int i = 0; i < shape.layers(); i++) {
            caches.add(t.scratch(t.dtype(), batch, shape.patch(), attention.keyValueWidth()));
        }
        List<Tensor> past = new ArrayList<>();
        List<Tensor> rows = new ArrayList<>();
        for (int i = 0; i < shape.patch(); i++) {
            int step = i;
            past.add(t.ints(IntStream.generate(() -> step).limit(batch).toArray()));
            rows.add(t.ints(IntStream.range(0, batch).map(b -> b * shape.patch() + step).toArray()));
        }
        var noShift = new ByteShift(0, 1);
        return ops -> {
            for (int i = 0; i < shape.patch(); i++) {
                Tensor before = i == 0 ? choice.previous() : choice.results().part(2L * batch * (i - 1), batch);
                ops.embed(rows.get(i), noShift, 0, slices, null, null, x);
                ops.embed(before, noShift, 0, model.table(), null, x, x);
                for (int l = 0; l < shape.layers(); l++) {
                    LocalModel.Layer layer = model.layers().get(l);
                    ops.layerNorm(x, layer.attentionNormWeight(), layer.attentionNormBias(), normed, mean, rstd);
                    ops.linear(normed, layer.qkv(), null, null, qkv);
                    ops.cachedAttention(attention, qkv, shape.bias(), caches.get(l), past.get(i), attended);
                    ops.linear(attended, layer.out(), null, x, x);
                    ops.layerNorm(x, layer.feedForwardNormWeight(), layer.feedForwardNormBias(), normed, mean, rstd);
                    ops.linearGelu(normed, layer.expand(), layer.expandBias(), hidden, activated);
                    ops.linear(activated, layer.contract(), layer.contractBias(), x, x);
                }
                long all = (long) batch * shape.vocabulary();
                Tensor ofByte = logits.part(all * i, batch, shape.vocabulary());
                ops.linear(x, model.headWeight(), model.headBias(), null, scores);
                ops.copy(scores, ofByte);
                ops.sample(ofByte, choice.settings(), choice.allowed(), choice.sequences(),
                        choice.positions().part((long) batch * i, batch), choice.forced().part((long) batch * i, batch),
                        choice.seen(), choice.results().part(2L * batch * i, batch),
                        choice.results().part(2L * batch * i + batch, batch));
            }
        };
    }

    /** @param share of the ids that are known already */
    private static Function<Tensors, Consumer<Ops>> work(Shape shape, SamplingSettings settings, double share,
            boolean atOnce) {
        return t -> {
            Random random = new Random(5);
            int all = shape.patch() * shape.batch();
            LocalModel model = new Weights(t, shape).model();
            Tensor slices = t.random(all, shape.dim());
            int words = Math.ceilDiv(shape.vocabulary(), 32);
            int[] forced = random.ints(all, 0, shape.vocabulary()).map(id -> random.nextDouble() < share ? id : -1)
                    .toArray();
            PatchChoice choice = new PatchChoice(t.ids(shape.vocabulary(), shape.batch()), t.ints(settings.toInts()),
                    t.ints(random.ints(shape.vocabulary(), 0, 8).map(v -> v == 0 ? 0 : 1).toArray()),
                    t.ints(random.ints(shape.batch(), 0, 100).toArray()), t.ints(random.ints(all, 0, 1000).toArray())
                            .view(shape.patch(), shape.batch()), t.ints(forced).view(shape.patch(), shape.batch()),
                    t.ints(random.ints((long) shape.batch() * words).toArray()).view(shape.batch(), words),
                    t.ints(new int[2 * all]).view(shape.patch(), 2, shape.batch()));
            Tensor logits = t.float32Result("logits", shape.patch(), shape.batch(), shape.vocabulary());
            t.changed("results", choice.results());
            t.changed("seen", choice.seen());
            t.changed("forced", choice.forced());
            return atOnce ? ops -> ops.decodePatch(model, slices, choice, logits)
                    : byteByByte(t, shape, model, slices, choice, logits);
        };
    }

    private static final SamplingSettings GREEDY = new SamplingSettings(0, 0, 1, 1, 0);

    /** All ids are known, so that one logit's last bits do not decide over those of all later bytes. */
    @ParameterizedTest
    @CsvSource({
        // batch, patch, layers, dim, heads, head size, vocabulary, bias
        "1, 1, 1, 32, 1, 32, 40, NONE",
        "1, 4, 3, 64, 4, 16, 300, ALIBI",
        "3, 8, 1, 96, 3, 32, 257, NONE",
        "17, 3, 2, 32, 4, 8, 29, ALIBI",
        "2, 16, 1, 96, 4, 24, 33, ALIBI",
        "8, 2, 1, 64, 1, 64, 1, NONE",
        "1, 32, 1, 32, 2, 16, 17, ALIBI",
        "5, 2, 1, 256, 4, 64, 512, ALIBI",
        "1, 3, 6, 256, 4, 64, 512, ALIBI"})
    void logitsAreThoseOfTheOperationsOneByOne(int batch, int patch, int layers, int dim, int heads, int headSize,
            int vocabulary, AttentionBias bias) {
        Shape shape = new Shape(batch, patch, layers, dim, heads, headSize, vocabulary, bias);
        CudaBackend backend = TestDevice.backend();
        var plain = work(shape, GREEDY, 1, false);
        Map<String, float[]> expected = Comparison.expected(DType.BF16, plain);
        Map<String, Double> cost = Comparison.costOfBf16(expected, plain);
        var whole = work(shape, GREEDY, 1, true);
        List<Map<String, float[]>> runs = Comparison.run(backend, DType.BF16, whole, 2);
        Comparison.near(backend, "logits", runs.getFirst().get("logits"), expected.get("logits"),
                2 * cost.get("logits"));
        assertThat(runs.getFirst().get("results")).containsExactly(expected.get("results"));
        assertThat(runs.getFirst().get("seen")).containsExactly(expected.get("seen"));
        Comparison.sameBits(backend, runs.getFirst(), runs.getLast());
        for (int seed = 1; TestDevice.isSimulated() && seed <= 2; seed++) {
            TestDevice.inRandomOrder(seed, () -> Comparison.sameBits(backend, runs.getFirst(),
                    Comparison.run(backend, DType.BF16, whole, 1).getFirst()));
        }
    }

    /** From the logits that the kernel itself writes, with all kinds of settings and some ids known. */
    @Test
    void idsAreThoseThatTheSamplerChoosesOfTheSameLogits() {
        for (SamplingSettings settings : List.of(GREEDY, new SamplingSettings(1, 0, 1, 1, 3),
                new SamplingSettings(0.7, 9, 1, 1.4, 4), new SamplingSettings(1.5, 0, 0.8, 0.6, 5),
                new SamplingSettings(0, 0, 1, 1.7, 6), new SamplingSettings(2, 20, 0.9, 1.2, 7))) {
            for (Shape shape : List.of(new Shape(3, 4, 1, 64, 2, 32, 77, AttentionBias.ALIBI),
                    new Shape(11, 3, 1, 32, 1, 32, 40, AttentionBias.NONE))) {
                assertIds(shape, settings, Comparison.run(TestDevice.backend(), DType.BF16,
                        work(shape, settings, 0.3, true), 1).getFirst());
            }
        }
    }

    private static void assertIds(Shape shape, SamplingSettings settings, Map<String, float[]> results) {
        Random random = new Random(5);    // as in work
        int batch = shape.batch();
        int all = shape.patch() * batch;
        int vocabulary = shape.vocabulary();
        int words = Math.ceilDiv(vocabulary, 32);
        int[] forced = random.ints(all, 0, vocabulary).map(id -> random.nextDouble() < 0.3 ? id : -1).toArray();
        int[] allowed = random.ints(vocabulary, 0, 8).map(v -> v == 0 ? 0 : 1).toArray();
        int[] sequences = random.ints(batch, 0, 100).toArray();
        int[] positions = random.ints(all, 0, 1000).toArray();
        int[] seen = random.ints((long) batch * words).toArray();
        Sampler sampler = new Sampler(vocabulary);
        int chosen = 0;
        for (int i = 0; i < all; i++) {
            int b = i % batch;
            float[] logits = Arrays.copyOfRange(results.get("logits"), i * vocabulary, (i + 1) * vocabulary);
            int id = forced[i];
            if (id < 0) {
                int[] own = Arrays.copyOfRange(seen, b * words, (b + 1) * words);
                id = sampler.choose(settings, logits, allowed, own, sequences[b], positions[i]);
                seen[b * words + id / 32] |= 1 << id % 32;
                chosen++;
            }
            assertThat(results.get("results")[2 * (i - b) + b]).as("id %d", i).isEqualTo(id);
            assertThat(results.get("results")[2 * (i - b) + batch + b]).as("fault %d", i).isEqualTo(0);
        }
        assertThat(chosen).isPositive().isLessThan(all);
        for (int i = 0; i < seen.length; i++) {
            assertThat(results.get("seen")[i]).isEqualTo((float) seen[i]);
        }
    }

    /** The more multiprocessors, the larger the clusters. */
    @Test
    void theSizeOfAClusterChangesNoBit() {
        assumeTrue(Simulator.isBuilt());
        Simulator.load();
        Shape shape = new Shape(3, 2, 1, 256, 4, 32, 300, AttentionBias.ALIBI);
        var work = work(shape, GREEDY, 0, true);
        List<Map<String, float[]>> results = new ArrayList<>();
        List<Integer> clusters = new ArrayList<>();
        for (int multiprocessors : new int[] {1, 2, 4}) {
            Simulator.reset();
            Simulator.set("MULTIPROCESSORS", multiprocessors);
            try (CudaBackend backend = Simulator.open()) {
                results.add(Comparison.run(backend, DType.BF16, work, 1).getFirst());
                clusters.add(backend.kernels().localDecode().division(planned(shape), 3, 2).cluster());
                Comparison.sameBits(backend, results.getFirst(), results.getLast());
            } finally {
                Simulator.reset();
            }
        }
        assertThat(clusters).containsExactly(4, 8, 16);
    }

    @Test
    void otherSequencesOfTheBatchChangeNoBit() {
        Shape many = new Shape(17, 3, 1, 64, 2, 32, 50, AttentionBias.ALIBI);
        Shape one = new Shape(1, 3, 1, 64, 2, 32, 50, AttentionBias.ALIBI);
        // Models are the same, since they are drawn first, and so is what the global one says about the first sequence.
        float[] alone = KernelComparison.run(DType.BF16, firstOf(one)).get("logits");
        float[] together = KernelComparison.run(DType.BF16, firstOf(many)).get("logits");
        for (int i = 0; i < one.patch(); i++) {
            int at = i * many.batch() * many.vocabulary();
            assertThat(Arrays.copyOfRange(together, at, at + many.vocabulary())).containsExactly(
                    Arrays.copyOfRange(alone, i * one.vocabulary(), (i + 1) * one.vocabulary()));
        }
    }

    /** The same first sequence in any batch. */
    private static Function<Tensors, Consumer<Ops>> firstOf(Shape shape) {
        return t -> {
            LocalModel model = new Weights(t, shape).model();
            int batch = shape.batch();
            int all = shape.patch() * batch;
            Tensor slices = t.random(all, shape.dim());
            int[] free = new int[all];
            Arrays.fill(free, -1);
            int[] allowed = new int[shape.vocabulary()];
            Arrays.fill(allowed, 1);
            PatchChoice choice = new PatchChoice(t.ints(new int[batch]), t.ints(GREEDY.toInts()), t.ints(allowed),
                    t.ints(new int[batch]), t.ints(new int[all]).view(shape.patch(), batch),
                    t.ints(free).view(shape.patch(), batch), t.ints(new int[batch * 2]).view(batch, 2),
                    t.ints(new int[2 * all]).view(shape.patch(), 2, batch));
            Tensor logits = t.float32Result("logits", shape.patch(), batch, shape.vocabulary());
            return ops -> ops.decodePatch(model, slices, choice, logits);
        };
    }

    /** An H100 has 132 multiprocessors. */
    @ParameterizedTest
    @CsvSource({
        // preset, batch, sequences of a cluster, blocks of a cluster
        "benchmark, 1, 1, 16",
        "benchmark, 9, 5, 16",
        "benchmark, 64, 8, 16",
        "benchmark, 65, 8, 8",
        "benchmark, 500, 8, 2",
        "megabyte-130m, 1, 1, 16",
        "megabyte-130m, 64, 7, 8",
        "small, 64, 8, 8"})
    void theBatchIsDividedAmongClusters(String preset, int batch, int rows, int cluster) {
        assumeTrue(Simulator.isBuilt());
        Simulator.load();
        Simulator.set("MULTIPROCESSORS", 132);
        try (CudaBackend backend = Simulator.open()) {
            MegabyteConfig config = Presets.named(preset);
            Shape shape = new Shape(batch, 8, config.localLayers(), config.localSize(), config.localHeads(),
                    config.localHeadSize(), config.vocabularySize(), AttentionBias.ALIBI);
            var division = backend.kernels().localDecode().division(planned(shape), batch, 8);
            assertThat(division.rows()).isEqualTo(rows);
            assertThat(division.cluster()).isEqualTo(cluster);
        } finally {
            Simulator.reset();
        }
    }

    /** Tensors that nobody has allocated. */
    private static LocalModel planned(Shape shape) {
        MemoryPlan plan = new MemoryPlan();
        ToTensor of = sizes -> plan.tensor(MemoryPlan.Category.PARAMETERS, "w", DType.BF16, sizes);
        long dim = shape.dim();
        long width = (long) shape.heads() * shape.headSize();
        var layer = new LocalModel.Layer(of.sizes(dim), of.sizes(dim), of.sizes(width + 2 * shape.headSize(), dim),
                of.sizes(dim, width), of.sizes(dim), of.sizes(dim), of.sizes(4 * dim, dim), of.sizes(4 * dim),
                of.sizes(dim, 4 * dim), of.sizes(dim));
        return new LocalModel(of.sizes(shape.vocabulary(), dim), Collections.nCopies(shape.layers(), layer),
                of.sizes(shape.vocabulary(), dim), of.sizes(shape.vocabulary()), shape.heads(), shape.bias());
    }

    private interface ToTensor {
        Tensor sizes(long... sizes);
    }

    private static boolean fits(CudaBackend backend, Shape shape) {
        boolean[] result = new boolean[1];
        KernelComparison.run(DType.BF16, t -> {
            LocalModel model = new Weights(t, shape).model();
            result[0] = backend.decodesPatches(model, shape.batch(), shape.patch());
            return ops -> { };
        });
        return result[0];
    }

    @Test
    void whatDoesNotFitIsSaid() {
        CudaBackend backend = TestDevice.backend();
        assertThat(fits(backend, new Shape(2, 4, 1, 64, 2, 32, 77, AttentionBias.NONE))).isTrue();
        for (Shape other : List.of(
                new Shape(2, 4, 1, 48, 1, 32, 77, AttentionBias.NONE),      // D
                new Shape(2, 4, 1, 64, 4, 4, 77, AttentionBias.NONE),       // h
                new Shape(2, 4, 1, 64, 1, 24, 77, AttentionBias.NONE),      // heads * h
                new Shape(2, 33, 1, 64, 2, 32, 77, AttentionBias.NONE),     // P
                new Shape(2, 4, 1, 64, 2, 32, 4097, AttentionBias.NONE))) { // V
            assertThat(fits(backend, other)).as(other.toString()).isFalse();
        }
        Shape odd = new Shape(2, 4, 1, 48, 1, 32, 77, AttentionBias.NONE);
        assertThatThrownBy(() -> KernelComparison.run(DType.BF16, work(odd, GREEDY, 1, true)))
                .isInstanceOf(ShapeException.class).hasMessage("a local model of width 48 with 1 heads of 32, BF16, and"
                        + " patches of 4 bytes cannot be decoded at one go; decode it byte by byte");
        assertThatThrownBy(() -> KernelComparison.run(DType.F32, work(new Shape(2, 4, 1, 64, 2, 32, 77,
                AttentionBias.NONE), GREEDY, 1, true))).isInstanceOf(ShapeException.class);
    }
}
