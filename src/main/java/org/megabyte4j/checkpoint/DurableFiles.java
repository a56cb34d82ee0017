package org.megabyte4j.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/** Files that survive a kill or a power cut at any moment: written aside, forced to the disk, then renamed. */
final class DurableFiles {
    /** Writes the content of a file. */
    @FunctionalInterface
    interface Content {
        void write(WritableByteChannel to) throws IOException;
    }

    /** What was written. */
    record Written(long bytes, long crc32c) {
    }

    private DurableFiles() {
    }

    static Content content(byte[] bytes) {
        return to -> to.write(ByteBuffer.wrap(bytes));
    }

    /**
     * Puts a new file in place of {@code path}.
     *
     * @param bytes how long it will be, to see beforehand that it fits the disk
     * @throws CheckpointException if it cannot be written; what was there before stays
     */
    static void replace(Path path, long bytes, Content content) {
        Path absolute = absolute(path);
        Path aside = aside(absolute);
        try {
            Files.createDirectories(absolute.getParent());
            requireSpace(absolute.getParent(), bytes);
            writeForced(aside, content);
            Files.move(aside, absolute, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            forceFolder(absolute.getParent());
        } catch (IOException e) {
            throw new CheckpointException(path + " cannot be written: " + reason(e), e);
        } finally {
            deleteQuietly(aside);
        }
    }

    private static Path absolute(Path path) {
        Path absolute = path.toAbsolutePath();
        if (Files.isDirectory(absolute)) {
            throw new CheckpointException(absolute + " cannot be written: it is a folder; name a file");
        }
        return absolute;
    }

    private static Path aside(Path absolute) {
        return absolute.resolveSibling("." + absolute.getFileName() + ".tmp-" + ProcessHandle.current().pid());
    }

    /**
     * Makes sure that {@link #replace} can begin, by doing so.
     *
     * @throws CheckpointException if it cannot; what is there stays
     */
    static void requireWritable(Path path) {
        Path absolute = absolute(path);
        Path aside = aside(absolute);
        try {
            Files.createDirectories(absolute.getParent());
            writeForced(aside, to -> { });
        } catch (IOException e) {
            throw new CheckpointException(path + " cannot be written: " + reason(e), e);
        } finally {
            deleteQuietly(aside);
        }
    }

    /** Creates a file and forces it to the disk; {@code content} may have thrown halfway. */
    static Written writeForced(Path path, Content content) throws IOException {
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE,
                StandardOpenOption.TRUNCATE_EXISTING)) {
            var out = new ChecksummedChannel(file);
            content.write(out);
            file.force(true);
            return new Written(file.position(), out.crc.getValue());
        }
    }

    /** Writes every byte, unlike a bare channel, and sums them. */
    private static final class ChecksummedChannel implements WritableByteChannel {
        private final FileChannel file;
        private final CRC32C crc = new CRC32C();

        ChecksummedChannel(FileChannel file) {
            this.file = file;
        }

        @Override
        public int write(ByteBuffer bytes) throws IOException {
            crc.update(bytes.duplicate());
            int count = bytes.remaining();
            while (bytes.hasRemaining()) {
                file.write(bytes);
            }
            return count;
        }

        @Override
        public boolean isOpen() {
            return file.isOpen();
        }

        @Override
        public void close() throws IOException {
            file.close();
        }
    }

    /** Makes the names in a folder durable. Windows cannot, and need not. */
    static void forceFolder(Path folder) throws IOException {
        if (!System.getProperty("os.name").startsWith("Windows")) {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    /** @throws IOException if the disk of {@code folder} has not {@code bytes} left; with both figures */
    static void requireSpace(Path folder, long bytes) throws IOException {
        long usable = Files.getFileStore(folder).getUsableSpace();
        if (usable < bytes) {
            throw new IOException("it needs " + megabytes(bytes) + ", but the disk has only " + megabytes(usable)
                    + " left");
        }
    }

    private static String megabytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f MB", bytes / 1e6);
    }

    /** What an exception of the file system means, in words. */
    static String reason(IOException e) {
        return switch (e) {
            case NoSuchFileException missing -> missing.getFile() + " does not exist";
            case NotDirectoryException notFolder -> notFolder.getFile() + " is not a folder";
            case FileAlreadyExistsException exists -> exists.getFile() + " is in the way";
            case AccessDeniedException denied -> "permission denied on " + denied.getFile();
            case FileSystemException other when other.getReason() != null -> other.getFile() + ": " + other.getReason();
            default -> String.valueOf(e.getMessage());
        };
    }

    /** The exception for a file that cannot be read. */
    static CheckpointException unreadable(Path file, IOException e) {
        return new CheckpointException(e instanceof NoSuchFileException ? file + " does not exist"
                : file + " cannot be read: " + reason(e), e);
    }

    /** Deletes a file, or a folder with all that is in it. */
    static void delete(Path path) throws IOException {
        if (Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
            try (Stream<Path> children = Files.list(path)) {
                for (Path child : children.toList()) {
                    delete(child);
                }
            }
        }
        Files.deleteIfExists(path);
    }

    /** Deletes what is only in the way; failing at it is no reason to hide another failure. */
    static void deleteQuietly(Path path) {
        try {
            delete(path);
        } catch (IOException e) {
            // the leftover is ignored by readers and cleaned up when the folder is opened again
        }
    }
}
