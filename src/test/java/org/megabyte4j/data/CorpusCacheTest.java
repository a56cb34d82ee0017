package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A corpus file is used again exactly as long as it is what its source would give. */
class CorpusCacheTest {
    @TempDir
    Path folder;

    private Path data;
    private Path cache;

    @BeforeEach
    void writeData() {
        data = folder.resolve("data");
        cache = folder.resolve("cache");
        write("a", "first");
        write("b", "second");
        Trees.write(data.resolve("c.gz"), Trees.gzip("third".getBytes(StandardCharsets.UTF_8)));
    }

    private void write(String name, String text) {
        Trees.write(data.resolve(name), text.getBytes(StandardCharsets.UTF_8));
    }

    /** A corpus as text, documents joined by a bar; and whether it was made anew. */
    private record Opened(String text, String fingerprint, boolean built) {
    }

    private Opened open(String... globs) {
        return open(new CorpusSource(List.of(data), List.of(globs)), cache);
    }

    private static Opened open(CorpusSource source, Path cache) {
        var builds = new AtomicInteger();
        try (Corpus corpus = Corpus.open(source, cache, '|', done -> builds.incrementAndGet())) {
            byte[] bytes = new byte[(int) corpus.length()];
            int[] ids = Trees.read(corpus);
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) ids[i];
            }
            return new Opened(new String(bytes, StandardCharsets.UTF_8), corpus.fingerprint(), builds.get() > 0);
        }
    }

    private List<Path> cached() throws IOException {
        try (Stream<Path> files = Files.list(cache)) {
            return files.sorted().toList();
        }
    }

    private Path onlyCached() throws IOException {
        assertThat(cached()).hasSize(1);
        return cached().getFirst();
    }

    @Test
    void aCorpusFileIsUsedAgain() throws IOException {
        Opened first = open();
        assertThat(first.text).isEqualTo("first|second|third");
        assertThat(first.built).isTrue();
        byte[] file = Files.readAllBytes(onlyCached());
        Opened again = open();
        assertThat(again.built).isFalse();
        assertThat(again.text).isEqualTo(first.text);
        assertThat(again.fingerprint).isEqualTo(first.fingerprint);
        assertThat(onlyCached()).hasBinaryContent(file);
    }

    private void assertRebuilt(String text, String... globs) {
        Opened opened = open(globs);
        assertThat(opened.built).isTrue();
        assertThat(opened.text).isEqualTo(text);
        assertThat(open(globs).built).isFalse();
    }

    @Test
    void everyChangeOfTheSourceMakesAnotherOne() throws IOException {
        assertRebuilt("first|second|third");
        write("b", "2nd");                                      // another size
        assertRebuilt("first|2nd|third");
        FileTime time = Files.getLastModifiedTime(data.resolve("a"));
        write("a", "1ST!!");                                    // the same size, another time
        Files.setLastModifiedTime(data.resolve("a"), FileTime.from(time.toInstant().plus(Duration.ofMillis(10))));
        assertRebuilt("1ST!!|2nd|third");
        write("d/e", "fourth");
        assertRebuilt("1ST!!|2nd|third|fourth");
        Files.delete(data.resolve("b"));
        assertRebuilt("1ST!!|third|fourth");
        Files.move(data.resolve("a"), data.resolve("x"));       // the order is that of names
        assertRebuilt("third|fourth|1ST!!");
        assertRebuilt("third|1ST!!", "*");
        assertRebuilt("third|fourth", "?.gz", "d/**");
    }

    /** Tools that restore a file with its times leave no other trace. */
    @Test
    void aPlainFileIsReadItselfWhateverItsTime() throws IOException {
        CorpusSource one = CorpusSource.of(data.resolve("a"));
        FileTime time = Files.getLastModifiedTime(data.resolve("a"));
        Opened before = open(one, cache);
        write("a", "FIRST");
        Files.setLastModifiedTime(data.resolve("a"), time);
        Opened after = open(one, cache);
        assertThat(after.text).isEqualTo("FIRST");
        assertThat(after.fingerprint).isNotEqualTo(before.fingerprint);
        assertThat(cache).doesNotExist();
    }

    @Test
    void theFingerprintIsOfTheContentAndItsOrderAlone() throws IOException {
        String fingerprint = open().fingerprint;
        assertThat(fingerprint).matches("[0-9a-f]{64}");
        Files.setLastModifiedTime(data.resolve("a"), FileTime.from(Instant.EPOCH));
        Files.move(data.resolve("b"), data.resolve("bb"));
        write("empty", "");
        assertThat(open().fingerprint).isEqualTo(fingerprint);
        Path moved = Files.move(data, folder.resolve("elsewhere"));
        assertThat(open(CorpusSource.of(moved), cache).fingerprint).isEqualTo(fingerprint);
        Path one = Files.writeString(folder.resolve("one"), "first");
        Path two = Trees.write(folder.resolve("two.gz"), Trees.gzip("first".getBytes(StandardCharsets.UTF_8)));
        assertThat(open(CorpusSource.of(one), cache).fingerprint)
                .isEqualTo(open(CorpusSource.of(two), cache).fingerprint);

        Files.move(moved.resolve("a"), moved.resolve("z"));
        String swapped = open(CorpusSource.of(moved), cache).fingerprint;
        Files.writeString(moved.resolve("z"), "firsT");
        String changed = open(CorpusSource.of(moved), cache).fingerprint;
        assertThat(List.of(fingerprint, swapped, changed)).doesNotHaveDuplicates();
    }

    @Test
    void aDamagedCorpusFileIsMadeAnew() throws IOException {
        String fingerprint = open().fingerprint;
        Path path = onlyCached();
        byte[] good = Files.readAllBytes(path);
        for (int i = 0; i < good.length; i += 3) {
            byte[] bad = good.clone();
            bad[i] ^= (byte) (1 << i % 8);
            assertMadeAnew(path, bad, good, fingerprint);
        }
        for (int length = 0; length < good.length; length += 13) {
            assertMadeAnew(path, Arrays.copyOf(good, length), good, fingerprint);
        }
        assertMadeAnew(path, Arrays.copyOf(good, good.length + 8), good, fingerprint);
        assertMadeAnew(path, new byte[1000], good, fingerprint);
    }

    private void assertMadeAnew(Path path, byte[] bad, byte[] good, String fingerprint) throws IOException {
        Files.write(path, bad);
        Opened opened = open();
        assertThat(opened.built).isTrue();
        assertThat(opened.fingerprint).isEqualTo(fingerprint);
        assertThat(onlyCached()).isEqualTo(path).hasBinaryContent(good);
    }

    @Test
    void theFileOfAnotherCorpusIsNotTaken() throws IOException {
        open();
        Path path = onlyCached();
        byte[] own = Files.readAllBytes(path);
        open("[ab]");
        Path other = cached().stream().filter(file -> !file.equals(path)).findFirst().orElseThrow();
        Files.copy(other, path, StandardCopyOption.REPLACE_EXISTING);
        assertThat(open().text).isEqualTo("first|second|third");
        assertThat(path).hasBinaryContent(own);
    }

    @Test
    void aBuildThatIsBrokenOffLeavesNothing() throws IOException {
        assertThatThrownBy(() -> Corpus.open(CorpusSource.of(data), cache, Trees.EOS, done -> {
            throw new CancellationException("enough");
        })).isInstanceOf(CancellationException.class);
        assertThat(cache).isEmptyDirectory();
        assertThatThrownBy(() -> Corpus.open(CorpusSource.of(data), cache, Trees.EOS,
                done -> Thread.currentThread().interrupt())).isInstanceOf(DataException.class);
        assertThat(Thread.interrupted()).isTrue();
        assertThat(cache).isEmptyDirectory();
        assertRebuilt("first|second|third");
    }

    @Test
    void whatAKilledBuildLeftIsNeitherUsedNorKeptForEver() throws IOException {
        Files.createDirectories(cache);
        Path old = Files.write(cache.resolve("corpus-1.tmp"), new byte[100]);
        Files.setLastModifiedTime(old, FileTime.from(Instant.now().minus(Duration.ofHours(25))));
        Path recent = Files.write(cache.resolve("corpus-2.tmp"), new byte[100]);    // perhaps being written
        Path foreign = Files.write(cache.resolve("notes.tmp"), new byte[100]);
        Files.setLastModifiedTime(foreign, FileTime.from(Instant.EPOCH));
        assertRebuilt("first|second|third");
        assertThat(cached()).contains(recent, foreign).doesNotContain(old).hasSize(3);
    }

    @Test
    void manyMayBuildInOneFolderAtTheSameTime() throws Exception {
        try (ExecutorService executor = Executors.newFixedThreadPool(6)) {
            List<Callable<String>> builds = IntStream.range(0, 200).<Callable<String>>mapToObj(i ->
                    // Each three are the same, the others differ by a glob that changes nothing.
                    () -> open("*", "nothing" + i / 3).text).toList();
            for (Future<String> build : executor.invokeAll(builds)) {
                assertThat(build.get()).isEqualTo("first|second|third");
            }
        }
        assertThat(cached()).hasSize(67).allMatch(file -> file.toString().endsWith(".bin"));
    }

    @Test
    void everyMappingIsGivenBack() throws IOException {
        Path maps = Path.of("/proc/self/maps");
        assumeTrue(Files.isReadable(maps), "skipped: this system does not list a process's mappings");
        Path plain = data.resolve("a").toRealPath();
        Corpus one = Trees.open(cache, plain);
        Corpus many = Trees.open(cache, data);
        assertThat(Files.readString(maps)).contains(plain.toString(), onlyCached().toRealPath().toString());
        one.close();
        assertThatThrownBy(() -> one.read(0, new int[1], 0, 1)).isInstanceOf(IllegalStateException.class);
        assertThat(Files.readString(maps)).doesNotContain(plain.toString());
        assertThat(Trees.read(many)).isNotEmpty();
        many.close();
        assertThat(Files.readString(maps)).doesNotContain(folder.toRealPath().toString());
        Files.write(onlyCached(), new byte[1000]);
        open();
        assertThat(Files.readString(maps)).doesNotContain(folder.toRealPath().toString());
    }
}
