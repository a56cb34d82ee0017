package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterProperty;
import net.jqwik.api.lifecycle.BeforeProperty;
import org.assertj.core.data.Offset;

/** A corpus against the simplest thing that could be one: all documents in one list. */
class CorpusProperties {
    private Path folder;
    private int tries;

    @BeforeProperty
    void makeFolder() throws IOException {
        folder = Files.createTempDirectory("corpus");
    }

    @AfterProperty
    void deleteFolder() throws IOException {
        Trees.delete(folder);
    }

    /** The way a name with slashes sorts: folder by folder. */
    private static Map<String, byte[]> sorted() {
        return new TreeMap<>((a, b) -> Arrays.compare(a.split("/"), b.split("/")));
    }

    private static Map<String, byte[]> randomTree(Random random) {
        Map<String, byte[]> tree = sorted();
        int files = 1 + random.nextInt(12);
        for (int i = 0; i < files; i++) {
            var name = new StringBuilder();
            for (int depth = random.nextInt(3); depth > 0; depth--) {
                name.append("ab.é".charAt(random.nextInt(4)) == '.' ? "a.b" : "dir-" + random.nextInt(3)).append('/');
            }
            byte[] bytes = new byte[random.nextInt(3) == 0 ? random.nextInt(300_000) : random.nextInt(5)];
            random.nextBytes(bytes);
            tree.put(name + "f" + i, bytes);
        }
        tree.put("not-empty", new byte[] {1});
        return tree;
    }

    @Property(tries = 40, shrinking = ShrinkingMode.OFF)
    void aTreeOfFilesIsItsDocumentsJoinedByEos(@ForAll Random random) throws IOException {
        Path place = folder.resolve("tree" + tries++);
        Map<String, byte[]> tree = randomTree(random);
        Map<String, byte[]> stored = new LinkedHashMap<>();
        tree.forEach((name, bytes) -> {
            switch (random.nextInt(4)) {
                case 0 -> stored.put(name + ".gz", Trees.gzip(bytes));
                case 1 -> stored.put(name + ".zst", Trees.zstd(bytes));
                default -> stored.put(name, bytes);
            }
        });
        // Suffixes take part in the order of names, so the expected order is that of the stored names.
        Map<String, byte[]> expected = sorted();
        stored.forEach((name, bytes) -> expected.put(name, tree.get(name.replaceAll("\\.(gz|zst)$", ""))));
        stored.forEach((name, bytes) -> Trees.write(place.resolve("data").resolve(name), bytes));
        List<Map.Entry<String, byte[]>> shuffled = new ArrayList<>(stored.entrySet());
        Collections.shuffle(shuffled, random);
        Map<String, byte[]> entries = new LinkedHashMap<>();
        shuffled.forEach(entry -> entries.put(entry.getKey(), entry.getValue()));
        Path zip = Trees.write(place.resolve("packed.zip"), Trees.zip(entries));

        int[] ids = Trees.joined(expected.values());
        try (Corpus fromFolder = Trees.open(place.resolve("cache"), place.resolve("data"));
                Corpus fromZip = Trees.open(place.resolve("cache"), zip)) {
            assertThat(Trees.read(fromFolder)).isEqualTo(ids);
            assertThat(Trees.read(fromZip)).isEqualTo(ids);
            assertThat(fromZip.fingerprint()).isEqualTo(fromFolder.fingerprint());
            assertThat(fromFolder.documents()).isEqualTo(tree.values().stream().filter(b -> b.length > 0).count());
            for (int i = 0; i < 50; i++) {
                int from = random.nextInt(ids.length);
                int count = Math.min(ids.length - from, random.nextInt(1000));
                int[] some = new int[count + 3];
                fromFolder.read(from, some, 2, count);
                assertThat(Arrays.copyOfRange(some, 2, 2 + count))
                        .isEqualTo(Arrays.copyOfRange(ids, from, from + count));
                assertThat(some[0] + some[1] + some[count + 2]).isZero();
            }
        }
    }

    @Property(tries = 100)
    void theSplitIsThePiecesEnds(@ForAll Random random, @ForAll @IntRange(min = 1, max = 7) int pieces,
            @ForAll @IntRange(min = 0, max = 99) int percent) throws IOException {
        int size = 1 + random.nextInt(2000);
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        Path file = Trees.write(folder.resolve("file" + tries++), bytes);
        try (TrainingData data = TrainingData.split(CorpusSource.of(file), percent / 100.0, pieces, folder, Trees.EOS,
                done -> { })) {
            assertThat(data.train().length() + data.validation().length()).isEqualTo(size);
            int[] train = Trees.read(data.train());
            int[] validation = Trees.read(data.validation());
            // Put together again, piece by piece, the two parts are the file, in order.
            int[] both = new int[size];
            int at = 0;
            int t = 0;
            int v = 0;
            for (int i = 0; i < data.train().stretches(); i++) {
                for (long n = data.train().stretchLength(i); n > 0; n--) {
                    both[at++] = train[t++];
                }
                for (long n = i < data.validation().stretches() ? data.validation().stretchLength(i) : 0; n > 0; n--) {
                    both[at++] = validation[v++];
                }
            }
            assertThat(both).isEqualTo(Trees.joined(List.of(bytes)));
            if (percent > 0 && size > 1) {
                assertThat(data.validation().length()).isBetween(1L, size - 1L);
                assertThat((double) data.validation().length()).isCloseTo(size * percent / 100.0,
                        Offset.offset(1.0 * pieces));
            } else {
                assertThat(data.validation().length()).isZero();
            }
        }
    }

    @Example
    void theFingerprintKnowsWhereDocumentsEnd() {
        Trees.write(folder.resolve("one/a"), new byte[] {1, 2, 3});
        Trees.write(folder.resolve("two/a"), new byte[] {1, 2});
        Trees.write(folder.resolve("two/b"), new byte[] {3});
        try (Corpus one = Trees.open(folder, folder.resolve("one"));
                Corpus two = Trees.open(folder, folder.resolve("two"))) {
            assertThat(one.fingerprint()).isNotEqualTo(two.fingerprint());
        }
    }
}
