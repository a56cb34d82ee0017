package org.megabyte4j.data;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.function.BiFunction;

/**
 * A corpus file, mapped: the bytes of all documents without anything between them, then where each document ends
 * (number of bytes up to there, int64), then a trailer: magic, number of bytes and of documents (int64), the key of the
 * source and the fingerprint of the content (SHA-256 each). Integers are big-endian.
 *
 * @param arena       the mapping's owner
 * @param bytes       all documents
 * @param ends        where each one ends, in bytes
 * @param fingerprint of both
 */
record CorpusFile(Arena arena, MemorySegment bytes, MemorySegment ends, byte[] fingerprint) implements AutoCloseable {
    static final ValueLayout.OfLong END = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final long MAGIC = 0x4d42_344a_434f_5231L; // "MB4JCOR1"
    private static final int HASH = 32;
    private static final int TRAILER = 3 * Long.BYTES + 2 * HASH;

    /** A file that is the one document of a corpus, as it is. Reads all of it. */
    static CorpusFile plain(Path path) throws IOException {
        return mapped(path, (arena, bytes) -> {
            MemorySegment ends = arena.allocate(END);
            ends.set(END, 0, bytes.byteSize());
            return new CorpusFile(arena, bytes, ends, Fingerprint.of(bytes, ends));
        });
    }

    /**
     * A corpus file made from a source, or null if it was made from another one, or is damaged, cut short, or no corpus
     * file at all. Reads all of it.
     */
    static CorpusFile open(Path path, byte[] key) throws IOException {
        return mapped(path, (arena, file) -> {
            long body = file.byteSize() - TRAILER;
            if (body < 0) {
                return null;
            }
            ByteBuffer trailer = file.asSlice(body).asByteBuffer();
            boolean isCorpus = trailer.getLong() == MAGIC;
            long size = trailer.getLong();
            long documents = trailer.getLong();
            if (!isCorpus || size < 1 || size > body || documents < 1 || documents != (body - size) / Long.BYTES
                    || (body - size) % Long.BYTES != 0 || !Arrays.equals(hash(trailer), key)) {
                return null;
            }
            MemorySegment bytes = file.asSlice(0, size);
            MemorySegment ends = file.asSlice(size, documents * Long.BYTES);
            byte[] fingerprint = Fingerprint.of(bytes, ends);
            return Arrays.equals(hash(trailer), fingerprint) ? new CorpusFile(arena, bytes, ends, fingerprint) : null;
        });
    }

    /** Maps a file for what is made of it; unmaps it if nothing is. */
    private static CorpusFile mapped(Path path, BiFunction<Arena, MemorySegment, CorpusFile> make) throws IOException {
        Arena arena = Arena.ofShared();
        CorpusFile made = null;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            made = make.apply(arena, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena));
            return made;
        } finally {
            if (made == null) {
                arena.close();
            }
        }
    }

    private static byte[] hash(ByteBuffer trailer) {
        byte[] hash = new byte[HASH];
        trailer.get(hash);
        return hash;
    }

    /** The trailer of a file in which bytes and ends are written already. */
    static ByteBuffer trailer(FileChannel file, long size, long documents, byte[] key) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment body = file.map(FileChannel.MapMode.READ_ONLY, 0, size + documents * Long.BYTES, arena);
            byte[] fingerprint = Fingerprint.of(body.asSlice(0, size), body.asSlice(size));
            return ByteBuffer.allocate(TRAILER).putLong(MAGIC).putLong(size).putLong(documents).put(key)
                    .put(fingerprint).flip();
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
