package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An archive that was damaged gives its own bytes or a sentence, never other bytes. */
class DamagedArchiveTest {
    private static final int TRIES = 600;

    @TempDir
    Path folder;

    private final byte[] text = text();

    private static byte[] text() {
        var text = new StringBuilder();
        var random = new Random(5);
        for (int line = 0; line < 200; line++) {
            text.append("line ").append(random.nextInt(1000)).append(" of a text\n");
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** What reading a file gives: its documents, each closed by a NUL, which none of them holds. */
    private static final class Collector implements DocumentSink {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public void write(byte[] some, int count) {
            bytes.write(some, 0, count);
        }

        @Override
        public void endDocument() {
            bytes.write(0);
        }
    }

    private byte[] read(Path path) {
        var listing = new SourceListing(CorpusSource.of(path));
        var collector = new Collector();
        new DocumentReader(listing, collector).read(listing.files().getFirst());
        return collector.bytes.toByteArray();
    }

    /** What a file gives, if anything. */
    private Optional<byte[]> readOrRefused(Path path) {
        try {
            return Optional.of(read(path));
        } catch (DataException e) {
            assertThat(e.getMessage()).contains(path.toString()).doesNotContain("\n", "null").hasSizeLessThan(1000);
            return Optional.empty();
        }
    }

    private static byte[] damaged(byte[] good, Random random) {
        byte[] bad = good.clone();
        int at = random.nextInt(bad.length);
        switch (random.nextInt(4)) {
            case 0 -> bad[at] ^= (byte) (1 << random.nextInt(8));
            case 1 -> bad = Arrays.copyOf(bad, Math.max(1, at));
            case 2 -> {
                byte[] noise = new byte[Math.min(1 + random.nextInt(20), bad.length - at)];
                random.nextBytes(noise);
                System.arraycopy(noise, 0, bad, at, noise.length);
            }
            default -> {
                byte[] noise = new byte[1 + random.nextInt(40)];
                random.nextBytes(noise);
                bad = Arrays.copyOf(bad, bad.length + noise.length);
                System.arraycopy(noise, 0, bad, good.length, noise.length);
            }
        }
        return bad;
    }

    private void damage(String name, byte[] good, BiConsumer<byte[], byte[]> check) throws IOException {
        Path path = Files.write(folder.resolve(name), good);
        byte[] sound = read(path);
        assertThat(sound).hasSizeGreaterThan(text.length);
        var random = new Random(6);
        int refused = 0;
        for (int i = 0; i < TRIES; i++) {
            Files.write(path, damaged(good, random));
            Optional<byte[]> actual = readOrRefused(path);
            actual.ifPresent(bytes -> check.accept(bytes, sound));
            refused += actual.isPresent() ? 0 : 1;
        }
        assertThat(refused).as("of " + TRIES).isBetween(TRIES / 2, TRIES);
    }

    private static void assertSame(byte[] actual, byte[] sound) {
        assertThat(actual).isEqualTo(sound);
    }

    @Test
    void gzip() throws IOException {
        damage("a.gz", Trees.gzip(text), DamagedArchiveTest::assertSame);
    }

    @Test
    void zstd() throws IOException {
        var bytes = new ByteArrayOutputStream();
        try (var zstd = new ZstdOutputStream(bytes)) {
            zstd.setChecksum(true);
            zstd.write(text);
        }
        damage("a.zst", bytes.toByteArray(), DamagedArchiveTest::assertSame);
    }

    /** Names have no checksum, and decide which entries there are, and in which order. */
    @Test
    void zip() throws IOException {
        Map<String, byte[]> entries = new LinkedHashMap<>();
        for (int i = 0; i < 5; i++) {
            entries.put("folder/entry" + i, Arrays.copyOf(text, text.length - 100 * i));
        }
        damage("a.zip", Trees.zip(entries),
                (actual, sound) -> assertThat(documents(sound)).containsAll(documents(actual)));
    }

    private static List<String> documents(byte[] all) {
        return List.of(new String(all, StandardCharsets.UTF_8).split("\0"));
    }
}
