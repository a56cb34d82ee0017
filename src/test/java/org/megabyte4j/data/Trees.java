package org.megabyte4j.data;

import com.github.luben.zstd.Zstd;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Files for tests, and what a corpus of them must be, made the simple way. */
final class Trees {
    static final int EOS = 258;
    static final int PAD = 257;

    private Trees() {
    }

    /** What a corpus of these documents must hold. */
    static int[] joined(Iterable<byte[]> documents) {
        List<Integer> ids = new ArrayList<>();
        for (byte[] document : documents) {
            if (document.length > 0 && !ids.isEmpty()) {
                ids.add(EOS);
            }
            for (byte value : document) {
                ids.add(value & 0xff);
            }
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    static int[] read(Corpus corpus) {
        int[] ids = new int[(int) corpus.length()];
        corpus.read(0, ids, 0, ids.length);
        return ids;
    }

    static int[] read(CorpusPart part) {
        int[] ids = new int[(int) part.length()];
        part.read(0, ids, 0, ids.length);
        return ids;
    }

    static Corpus open(Path cache, Path... paths) {
        return Corpus.open(CorpusSource.of(paths), cache, EOS, bytes -> { });
    }

    /** A corpus of random documents whose lengths are given. */
    static Corpus corpus(Path folder, Random random, int... lengths) {
        for (int i = 0; i < lengths.length; i++) {
            byte[] bytes = new byte[lengths[i]];
            random.nextBytes(bytes);
            write(folder.resolve("data").resolve(String.format("%05d", i)), bytes);
        }
        return open(folder.resolve("cache"), folder.resolve("data"));
    }

    static Path write(Path file, byte[] bytes) {
        try {
            Files.createDirectories(file.getParent());
            return Files.write(file, bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static byte[] gzip(byte[] bytes) {
        var out = new ByteArrayOutputStream();
        try (OutputStream gzip = new GZIPOutputStream(out)) {
            gzip.write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    static byte[] zstd(byte[] bytes) {
        return Zstd.compress(bytes);
    }

    /** Entries in the order of the map. */
    static byte[] zip(Map<String, byte[]> entries) {
        var out = new ByteArrayOutputStream();
        try (var zip = new ZipOutputStream(out)) {
            for (var entry : entries.entrySet()) {
                zip.putNextEntry(new ZipEntry(entry.getKey()));
                zip.write(entry.getValue());
                zip.closeEntry();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    static void delete(Path folder) throws IOException {
        try (var files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
