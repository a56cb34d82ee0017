package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/** Batches from a file in which every two neighbouring bytes occur once, so that a window tells where it comes from. */
class SamplingProperties {
    /** A de Bruijn sequence of pairs: 65536 bytes, each pair once. */
    private static final int SIZE = 1 << 16;
    private static final Map<Integer, Integer> PLACES = new HashMap<>();
    private static byte[] text;
    private static Path folder;
    private static Path file;

    @BeforeContainer
    static void makeText() throws IOException {
        text = new byte[SIZE];
        int at = 0;
        for (int a = 0; a < 256; a++) {     // the Lyndon words of lengths 1 and 2 in order
            text[at++] = (byte) a;
            for (int b = a + 1; b < 256; b++) {
                text[at++] = (byte) a;
                text[at++] = (byte) b;
            }
        }
        for (int i = 0; i + 1 < SIZE; i++) {
            PLACES.put((text[i] & 0xff) << 8 | text[i + 1] & 0xff, i);
        }
        assertThat(PLACES).hasSize(SIZE - 1);
        folder = Files.createTempDirectory("sampling");
        file = Files.write(folder.resolve("text"), text);
    }

    @AfterContainer
    static void deleteFolder() throws IOException {
        Trees.delete(folder);
    }

    private static TrainingData data(int percent, int pieces) {
        return TrainingData.split(CorpusSource.of(file), percent / 100.0, pieces, folder, Trees.EOS, done -> { });
    }

    /** Where a row comes from; checks that it is the file from there on, after padding in front only. */
    private static int placeOf(int[] ids, int row, int length) {
        int from = row * length;
        int to = from + length;
        while (from < to && ids[from] == Trees.PAD) {
            from++;
        }
        assertThat(to - from).isGreaterThanOrEqualTo(2);
        int place = PLACES.get(ids[from] << 8 | ids[from + 1]);
        for (int i = from; i < to; i++) {
            assertThat(ids[i]).isEqualTo(text[place + i - from] & 0xff);
        }
        return place;
    }

    /** Marks each place of the file that a part holds. */
    private static boolean[] places(CorpusPart part) {
        boolean[] held = new boolean[SIZE];
        for (int s = 0; s < part.stretches(); s++) {
            int[] ids = new int[(int) part.stretchLength(s)];
            part.readStretch(s, 0, ids, 0, ids.length);
            int start = PLACES.get(ids[0] << 8 | ids[1]);
            Arrays.fill(held, start, start + ids.length, true);
        }
        return held;
    }

    @Property(tries = 40, shrinking = ShrinkingMode.OFF)
    void windowsAndChunksStayInTheirPartAndInOneStretch(@ForAll long seed,
            @ForAll @IntRange(min = 1, max = 9) int pieces, @ForAll @IntRange(min = 1, max = 60) int percent,
            @ForAll @IntRange(min = 2, max = 9000) int length) {
        try (TrainingData data = data(percent, pieces)) {
            boolean[] trained = places(data.train());
            boolean[] heldOut = places(data.validation());
            for (Sampling sampling : new Sampling[] {Sampling.RANDOM, Sampling.CHUNKS}) {
                for (CorpusPart part : new CorpusPart[] {data.train(), data.validation()}) {
                    boolean[] allowed = part == data.train() ? trained : heldOut;
                    BatchSource source = sampling.source(part, 3, length, Trees.PAD, seed);
                    int[] ids = new int[3 * length];
                    for (long step = 0; step < 4; step++) {
                        source.fill(step, ids);
                        for (int row = 0; row < 3; row++) {
                            int real = (int) Arrays.stream(ids, row * length, (row + 1) * length)
                                    .filter(id -> id != Trees.PAD).count();
                            if (real < 2) {
                                continue; // a chunk of a single byte tells nothing
                            }
                            int place = placeOf(ids, row, length);
                            for (int i = 0; i < real; i++) {
                                assertThat(allowed[place + i]).isTrue();
                            }
                        }
                    }
                }
            }
        }
    }

    @Property(tries = 30, shrinking = ShrinkingMode.OFF)
    void eachChunkComesOncePerEpochAndEpochsDiffer(@ForAll long seed, @ForAll @IntRange(min = 1, max = 5) int pieces,
            @ForAll @IntRange(min = 300, max = 5000) int length, @ForAll @IntRange(min = 1, max = 5) int batch) {
        try (TrainingData data = data(10, pieces)) {
            var source = new ShuffledChunks(data.train(), batch, length, Trees.PAD, seed);
            long chunks = source.chunksPerEpoch();
            assertThat(chunks).isBetween(data.train().length() / length, data.train().length() / length + pieces);
            int epochs = 3;
            StringBuilder[] orders = new StringBuilder[epochs];
            int[][] seen = new int[epochs][SIZE];
            int[] ids = new int[batch * length];
            for (long turn = 0; turn < epochs * chunks; turn++) {
                if (turn % batch == 0) {
                    source.fill(turn / batch, ids);
                }
                int epoch = (int) (turn / chunks);
                int row = (int) (turn % batch);
                orders[epoch] = orders[epoch] == null ? new StringBuilder() : orders[epoch];
                orders[epoch].append(Arrays.hashCode(Arrays.copyOfRange(ids, row * length, (row + 1) * length)))
                        .append(' ');
                if (ids[(row + 1) * length - 2] != Trees.PAD) {
                    int place = placeOf(ids, row, length);
                    int real = (int) Arrays.stream(ids, row * length, (row + 1) * length)
                            .filter(id -> id != Trees.PAD).count();
                    for (int i = 0; i < real; i++) {
                        seen[epoch][place + i]++;
                    }
                }
            }
            for (int epoch = 0; epoch < epochs; epoch++) {
                assertThat(Arrays.stream(seen[epoch]).max().orElseThrow()).isEqualTo(1);
                assertThat(Arrays.stream(seen[epoch]).sum()).isBetween((int) data.train().length() - pieces,
                        (int) data.train().length());
            }
            if (chunks > 12) {
                assertThat(Set.of(orders[0].toString(), orders[1].toString(), orders[2].toString())).hasSize(3);
            }
        }
    }

    @Property(tries = 30)
    void aBatchDependsOnItsStepAndSeedOnly(@ForAll long seed, @ForAll @IntRange(min = 1, max = 700) int length,
            @ForAll Sampling sampling, @ForAll Random random) {
        try (TrainingData data = data(10, 3)) {
            BatchSource source = sampling.source(data.train(), 2, length, Trees.PAD, seed);
            int[][] inOrder = new int[20][2 * length];
            for (int step = 0; step < inOrder.length; step++) {
                source.fill(step, inOrder[step]);
            }
            BatchSource again = sampling.source(data.train(), 2, length, Trees.PAD, seed);
            int[] ids = new int[2 * length];
            for (int i = 0; i < 20; i++) {
                int step = random.nextInt(inOrder.length);
                again.fill(step, ids);
                assertThat(ids).isEqualTo(inOrder[step]);
            }
            if (sampling != Sampling.SEQUENTIAL && length > 8) {
                sampling.source(data.train(), 2, length, Trees.PAD, seed + 1).fill(0, ids);
                int[] other = ids.clone();
                sampling.source(data.train(), 2, length, Trees.PAD, seed).fill(0, ids);
                // With some 80 chunks at the least, two seeds agree in both rows once in thousands.
                assertThat(Arrays.equals(other, ids) ? 1 : 0).isLessThanOrEqualTo(length > 300 ? 1 : 0);
            }
        }
    }

    @Property(tries = 40)
    void sequentialRowsAreTheTextOverAndOver(@ForAll @IntRange(min = 1, max = 5) int batch,
            @ForAll @IntRange(min = 1, max = 40_000) int length, @ForAll @IntRange(min = 0, max = 100_000) int step) {
        try (TrainingData data = data(0, 1)) {
            int[] ids = new int[batch * length];
            new SequentialRows(data.train(), batch, length).fill(step, ids);
            long start = (long) step * batch * length;
            for (int i = 0; i < ids.length; i++) {
                assertThat(ids[i]).isEqualTo(text[(int) ((start + i) % SIZE)] & 0xff);
            }
        }
    }

    @Property(tries = 40)
    void evaluationSeesEachIdOnceAndPadsAtTheEnd(@ForAll @IntRange(min = 1, max = 5) int batch,
            @ForAll @IntRange(min = 1, max = 40_000) int length, @ForAll @IntRange(min = 1, max = 4) int pieces) {
        try (TrainingData data = data(30, pieces)) {
            int[] expected = Trees.read(data.validation());
            var blocks = EvaluationWindows.blocks(data.validation(), batch, length, Trees.PAD);
            int[] ids = new int[batch * length];
            int at = 0;
            for (long i = 0; i < blocks.batches(); i++) {
                int count = blocks.fill(i, ids, ids);
                int before = at;
                for (int row = 0; row < batch; row++) {
                    boolean padded = false;
                    for (int t = 0; t < length; t++) {
                        int id = ids[row * length + t];
                        padded |= id == Trees.PAD;
                        assertThat(id == Trees.PAD).isEqualTo(padded);
                        if (!padded) {
                            assertThat(id).isEqualTo(expected[at++]);
                        }
                    }
                }
                assertThat(count).isEqualTo(at - before).isPositive();
            }
            assertThat(at).isEqualTo(expected.length);
        }
    }

    /** Windows against a loop over positions: where a window begins, and which ids are its targets. */
    @Property(tries = 100)
    void windowsPredictEachIdOnceWithContextBeforeIt(@ForAll @IntRange(min = 1, max = 5) int batch,
            @ForAll @IntRange(min = 1, max = 5000) int length, @ForAll @IntRange(min = 1, max = 100) int percent,
            @ForAll @IntRange(min = 1, max = 4) int pieces) {
        int stride = Math.ceilDiv(length * percent, 100);
        try (TrainingData data = data(1, pieces)) {
            CorpusPart part = data.validation();
            var windows = EvaluationWindows.sliding(part, batch, length, stride, Trees.PAD);
            int[] ids = new int[batch * length];
            int[] targets = new int[batch * length];
            long window = 0;
            for (int stretch = 0; stretch < part.stretches(); stretch++) {
                int size = (int) part.stretchLength(stretch);
                int[] all = new int[size];
                part.readStretch(stretch, 0, all, 0, size);
                int next = 0;
                for (int start = 0; next < size; start += stride, window++) {
                    if (window % batch == 0) {
                        int count = windows.fill(window / batch, ids, targets);
                        assertThat(count).isEqualTo((int) Arrays.stream(targets).filter(id -> id != Trees.PAD).count());
                    }
                    int row = (int) (window % batch) * length;
                    for (int t = 0; t < length; t++) {
                        int id = start + t < size ? all[start + t] : Trees.PAD;
                        assertThat(ids[row + t]).isEqualTo(id);
                        boolean due = start + t == next && id != Trees.PAD;
                        assertThat(targets[row + t]).isEqualTo(due ? id : Trees.PAD);
                        if (due) {
                            assertThat(start == 0 || t >= length - stride).as("context of %d", t).isTrue();
                            next++;
                        }
                    }
                }
            }
            assertThat(windows.batches()).isEqualTo(Math.ceilDiv(window, batch));
        }
    }

    @Property(tries = 200)
    void aPermutationIsABijection(@ForAll @IntRange(min = 1, max = 5000) int size, @ForAll long key) {
        var permutation = new Permutation(size, key);
        Set<Long> seen = new HashSet<>();
        for (int i = 0; i < size; i++) {
            long at = permutation.at(i);
            assertThat(at).isBetween(0L, size - 1L);
            seen.add(at);
        }
        assertThat(seen).hasSize(size);
    }
}
