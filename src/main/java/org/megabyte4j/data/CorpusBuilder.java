package org.megabyte4j.data;

import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.function.LongConsumer;

/** Streams a source into a corpus file. The file is written aside, forced to the disk, then renamed. */
final class CorpusBuilder implements DocumentSink {
    /**
     * When to stop rather than fill a disk.
     *
     * @param spaceKept      bytes that stay free
     * @param ratioAllowed   how many times its own size a compressed file may become
     * @param smallAllowed   bytes that it may become in any case
     */
    record Limits(long spaceKept, long ratioAllowed, long smallAllowed) {
        static final Limits DEFAULT = new Limits(256L << 20, 200, 1L << 30);
    }

    private static final int BUFFER = 1 << 20;
    private static final long BETWEEN_CHECKS = 64L << 20;
    private static final Duration ABANDONED = Duration.ofDays(1);

    private final Path target;
    private final Limits limits;
    private final LongConsumer progress;
    private DataOutputStream out;
    private SourceFile file;
    private long fileStart;          // bytes before the file that is read
    private long size;
    private long checkAt;
    private long[] ends = new long[16];
    private int documents;

    private CorpusBuilder(Path target, Limits limits, LongConsumer progress) {
        this.target = target;
        this.limits = limits;
        this.progress = progress;
    }

    /**
     * @param progress hears from time to time how many bytes the corpus has so far
     * @throws DataException if the data cannot be read or holds no byte, or the file cannot be written; no file is left
     */
    static void build(SourceListing listing, byte[] key, Path target, Limits limits, LongConsumer progress) {
        new CorpusBuilder(target, limits, progress).build(listing, key);
    }

    private void build(SourceListing listing, byte[] key) {
        Path folder = target.toAbsolutePath().getParent();
        Path aside = null;
        try {
            Files.createDirectories(folder);
            deleteAbandoned(folder);
            aside = Files.createTempFile(folder, "corpus-", ".tmp");
            try (FileChannel channel = FileChannel.open(aside, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                out = new DataOutputStream(new BufferedOutputStream(Channels.newOutputStream(channel), BUFFER));
                var reader = new DocumentReader(listing, this);
                for (SourceFile next : listing.files()) {
                    file = next;
                    fileStart = size;
                    reader.read(next);
                }
                if (documents == 0) {
                    throw new DataException("there is no byte of data in " + listing.description()
                            + "; name other data" + (listing.hasGlobs() ? ", or change the glob" : ""));
                }
                for (int i = 0; i < documents; i++) {
                    out.writeLong(ends[i]);
                }
                out.flush();
                channel.write(CorpusFile.trailer(channel, size, documents, key));
                channel.force(true);
            }
            Files.move(aside, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw SourceErrors.notWritten(target, e);
        } finally {
            deleteQuietly(aside);
        }
    }

    @Override
    public void write(byte[] bytes, int count) {
        size += count;
        long expanded = size - fileStart;
        if (file.kind() != SourceFile.Kind.PLAIN && expanded > limits.smallAllowed
                && expanded / limits.ratioAllowed > file.size()) {
            throw new DataException(file.path() + " grows from " + SourceErrors.size(file.size()) + " to more than "
                    + SourceErrors.size(expanded) + ", like an archive that is made to fill a disk; if it is sound,"
                    + " unpack it and name the result");
        }
        try {
            if (size >= checkAt) {
                requireSpace();
                progress.accept(size);
                checkAt = size + BETWEEN_CHECKS;
            }
            out.write(bytes, 0, count);
        } catch (IOException e) {
            throw SourceErrors.notWritten(target, e);
        }
    }

    private void requireSpace() throws IOException {
        long usable = Files.getFileStore(target.toAbsolutePath().getParent()).getUsableSpace();
        if (usable < limits.spaceKept) {
            throw new IOException("it has " + SourceErrors.size(size) + " so far, and the disk only "
                    + SourceErrors.size(usable) + " left");
        }
    }

    @Override
    public void endDocument() {
        if (size > (documents == 0 ? 0 : ends[documents - 1])) {
            if (documents == ends.length) {
                ends = Arrays.copyOf(ends, 2 * documents);
            }
            ends[documents++] = size;
        }
    }

    /** Removes what builds that were killed have left; others may come and go in the folder meanwhile. */
    private static void deleteAbandoned(Path folder) throws IOException {
        try (DirectoryStream<Path> leftovers = Files.newDirectoryStream(folder, "corpus-*.tmp")) {
            for (Path leftover : leftovers) {
                if (isAbandoned(leftover)) {
                    deleteQuietly(leftover);
                }
            }
        }
    }

    private static boolean isAbandoned(Path leftover) throws IOException {
        try {
            return Files.getLastModifiedTime(leftover).toInstant().isBefore(Instant.now().minus(ABANDONED));
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private static void deleteQuietly(Path path) {
        try {
            if (path != null) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            // only in the way: the next build tries again
        }
    }
}
