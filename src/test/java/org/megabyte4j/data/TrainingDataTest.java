package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TrainingDataTest {
    @TempDir
    Path folder;

    private Path write(String name, int size) {
        byte[] bytes = new byte[size];
        new Random(name.hashCode()).nextBytes(bytes);
        return Trees.write(folder.resolve(name), bytes);
    }

    private TrainingData split(Path path, double fraction, int pieces) {
        return TrainingData.split(CorpusSource.of(path), fraction, pieces, folder.resolve("cache"), Trees.EOS,
                done -> { });
    }

    private TrainingData separate(Path training, Path validation) {
        return TrainingData.separate(CorpusSource.of(training), CorpusSource.of(validation), folder.resolve("cache"),
                Trees.EOS, done -> { });
    }

    /** By hand: 100 ids in 4 pieces of 25, of each the last 5. */
    @Test
    void eachPieceGivesItsEnd() {
        Path file = write("file", 100);
        try (TrainingData data = split(file, 0.2, 4); Corpus corpus = Trees.open(folder, file)) {
            int[] all = Trees.read(corpus);
            int[] heldOut = Trees.read(data.validation());
            assertThat(heldOut).hasSize(20);
            for (int piece = 0; piece < 4; piece++) {
                assertThat(Arrays.copyOfRange(heldOut, 5 * piece, 5 * piece + 5))
                        .isEqualTo(Arrays.copyOfRange(all, 25 * piece + 20, 25 * piece + 25));
            }
        }
    }

    /** Of a corpus of several documents, whose eos ids belong to the parts like any other id. */
    @Test
    void aSplitIsTheSameEachTimeAndEachIdIsInOneOfTheTwo() {
        for (int i = 0; i < 30; i++) {
            write("data/" + i, 1 + 37 * i);
        }
        Path data = folder.resolve("data");
        try (TrainingData one = split(data, 0.1, 7); TrainingData two = split(data, 0.1, 7);
                Corpus corpus = Trees.open(folder.resolve("cache"), data)) {
            assertThat(Trees.read(two.train())).isEqualTo(Trees.read(one.train()));
            assertThat(Trees.read(two.validation())).isEqualTo(Trees.read(one.validation()));
            assertThat(two.fingerprint()).isEqualTo(one.fingerprint());
            List<int[]> pieces = new ArrayList<>();
            for (int s = 0; s < 7; s++) {
                for (CorpusPart part : List.of(one.train(), one.validation())) {
                    int[] ids = new int[(int) part.stretchLength(s)];
                    part.readStretch(s, 0, ids, 0, ids.length);
                    pieces.add(ids);
                }
            }
            assertThat(pieces.stream().flatMapToInt(Arrays::stream)).containsExactly(
                    Arrays.stream(Trees.read(corpus)).boxed().toArray(Integer[]::new));
        }
    }

    @Test
    void theFingerprintIsOfTheContentAndTheSplit() {
        Path file = write("file", 1000);
        Path same = Trees.write(folder.resolve("same.gz"), Trees.gzip(bytes(file)));
        try (TrainingData data = split(file, 0.1, 2); TrainingData packed = split(same, 0.1, 2);
                TrainingData share = split(file, 0.2, 2); TrainingData pieces = split(file, 0.1, 3);
                TrainingData other = split(write("other", 1000), 0.1, 2);
                TrainingData two = separate(file, folder.resolve("other"));
                TrainingData turned = separate(folder.resolve("other"), file)) {
            assertThat(packed.fingerprint()).isEqualTo(data.fingerprint()).matches("[0-9a-f]{64}");
            assertThat(List.of(data.fingerprint(), share.fingerprint(), pieces.fingerprint(), other.fingerprint(),
                    two.fingerprint(), turned.fingerprint())).doesNotHaveDuplicates();
        }
    }

    private static byte[] bytes(Path file) {
        try (Corpus corpus = Trees.open(file.getParent(), file)) {
            return ByteTokenizer.REFERENCE.bytes(Trees.read(corpus));
        }
    }

    @Test
    void separateDataIsAllOfEach() {
        Path training = write("training", 321);
        Path validation = write("validation", 123);
        try (TrainingData data = separate(training, validation)) {
            assertThat(ByteTokenizer.REFERENCE.bytes(Trees.read(data.train()))).isEqualTo(bytes(training));
            assertThat(ByteTokenizer.REFERENCE.bytes(Trees.read(data.validation()))).isEqualTo(bytes(validation));
        }
        assertThatThrownBy(() -> separate(training, folder.resolve("missing"))).isInstanceOf(DataException.class)
                .hasMessage("there is no file or folder " + folder.resolve("missing") + "; check the path");
    }

    @ParameterizedTest
    @EnumSource
    void tooLittleForBothPartsIsASentenceWhenThePartIsUsed(Sampling sampling) {
        Path tiny = write("tiny", 1);
        String message = "there is no validation data: all of " + tiny + " was taken for the other part; change the"
                + " share held out for validation, or name validation data of its own";
        for (double fraction : new double[] {0, 0.5, 0.99}) {
            try (TrainingData data = split(tiny, fraction, 10)) {
                assertThat(data.train().length()).isEqualTo(1);
                assertThat(sampling.source(data.train(), 1, 8, Trees.PAD, 1).batch()).isEqualTo(1);
                assertThat(data.validation().length()).isZero();
                assertThatThrownBy(() -> sampling.source(data.validation(), 1, 8, Trees.PAD, 1))
                        .isInstanceOf(DataException.class).hasMessage(message);
                assertThatThrownBy(() -> EvaluationWindows.blocks(data.validation(), 1, 8, Trees.PAD))
                        .isInstanceOf(DataException.class).hasMessage(message);
            }
        }
    }

    @Test
    void sharesAndPiecesThatMakeNoSenseAreRefused() {
        Path file = write("file", 10);
        for (double fraction : new double[] {1, 1.5, -0.1, Double.NaN, Double.POSITIVE_INFINITY}) {
            assertThatThrownBy(() -> split(file, fraction, 1)).isInstanceOf(DataException.class)
                    .hasMessage("a validation share of " + fraction + " is not possible; use 0 or more, and less"
                            + " than 1");
        }
        assertThatThrownBy(() -> split(file, 0.1, 0)).isInstanceOf(DataException.class)
                .hasMessage("validation data cannot come from 0 pieces; use at least 1");
        try (TrainingData data = split(file, 0.1, Integer.MAX_VALUE)) {
            assertThat(data.train().stretches()).isEqualTo(5);
        }
    }

    @Test
    void theFirstIdsOfAPartAreWhatReadingItsBeginningGives() {
        try (TrainingData data = split(write("file", 100), 0.3, 4)) {
            for (CorpusPart part : List.of(data.train(), data.validation())) {
                int[] all = Trees.read(part);
                for (int count = 0; count <= all.length + 3; count++) {
                    CorpusPart first = part.first(count);
                    assertThat(first.name()).isEqualTo(part.name());
                    assertThat(Trees.read(first)).isEqualTo(Arrays.copyOf(all, Math.min(count, all.length)));
                }
            }
        }
    }

    @Test
    void closingClosesAllCorpora() {
        TrainingData data = separate(write("one", 10), write("two", 10));
        data.close();
        for (CorpusPart part : List.of(data.train(), data.validation())) {
            assertThatThrownBy(() -> part.read(0, new int[1], 0, 1)).isInstanceOf(IllegalStateException.class);
        }
    }
}
