package org.megabyte4j.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.LongConsumer;

/**
 * A sequence of ids on disk, mapped into memory: the bytes of all documents, joined by one eos id. May be larger than
 * memory. Reading is safe for several threads; {@link #close} unmaps it, after which reading throws
 * {@link IllegalStateException}.
 */
public final class Corpus implements AutoCloseable {
    private final String description;
    private final int eosId;
    private final CorpusFile file;
    private final MemorySegment bytes;
    private final MemorySegment ends;

    private Corpus(String description, int eosId, CorpusFile file) {
        this.description = description;
        this.eosId = eosId;
        this.file = file;
        bytes = file.bytes();
        ends = file.ends();
    }

    /**
     * Opens a corpus. A single plain file is mapped as it is. Anything else is first streamed into a file of the cache
     * folder, which later calls use again while no file of the source has changed in path, size or time, and which is
     * made anew if it is damaged. All of the content is read once, for the fingerprint.
     *
     * @param cacheFolder is made when it is needed; must not be part of the data
     * @param eosId       the id between documents
     * @param progress    hears from time to time how many bytes a new corpus file has so far
     * @throws DataException if data is missing, empty, unreadable or damaged, or does not fit the disk
     */
    public static Corpus open(CorpusSource source, Path cacheFolder, int eosId, LongConsumer progress) {
        return open(source, cacheFolder, eosId, progress, CorpusBuilder.Limits.DEFAULT);
    }

    static Corpus open(CorpusSource source, Path cacheFolder, int eosId, LongConsumer progress,
            CorpusBuilder.Limits limits) {
        var listing = new SourceListing(source);
        SourceFile first = listing.files().getFirst();
        String description = listing.description();
        try {
            return new Corpus(description, eosId,
                    listing.files().size() == 1 && first.kind() == SourceFile.Kind.PLAIN
                            ? CorpusFile.plain(first.path())
                            : cached(source, listing, cacheFolder, progress, limits));
        } catch (IOException e) {
            throw SourceErrors.unreadable(first.path(), e);
        } catch (InternalError e) {
            throw cutShort(description, e);
        }
    }

    private static CorpusFile cached(CorpusSource source, SourceListing listing, Path cacheFolder,
            LongConsumer progress, CorpusBuilder.Limits limits) {
        byte[] key = listing.key();
        Path path = cacheFolder.resolve("corpus-" + Fingerprint.hex(key).substring(0, 24) + ".bin");
        if (listing.wouldHold(path)) {
            throw new DataException("the cache folder " + cacheFolder + " lies in a folder of the data, and what is"
                    + " written there would be data too; choose another cache folder");
        }
        try {
            CorpusFile file = Files.isRegularFile(path) ? CorpusFile.open(path, key) : null;
            if (file == null) {
                CorpusBuilder.build(listing, key, path, limits, progress);
                if (!Arrays.equals(key, new SourceListing(source).key())) {
                    Files.delete(path);
                    throw new DataException("the data in " + source.paths().getFirst()
                            + " changed while it was read; start again when nothing writes to it");
                }
                file = CorpusFile.open(path, key);
            }
            if (file == null) {
                throw new DataException("the corpus file " + path + " is not what was written a moment ago; check the"
                        + " disk, or choose another cache folder");
            }
            return file;
        } catch (IOException e) {
            throw new DataException("the corpus file " + path + " cannot be read: " + SourceErrors.reason(e)
                    + "; delete it, or choose another cache folder", e);
        }
    }

    private static DataException cutShort(String description, InternalError e) {
        return new DataException(description + " was cut short while it was in use; restore it, and start again", e);
    }

    /** What the corpus is made from, as messages call it. */
    String description() {
        return description;
    }

    /** Ids: bytes and the eos ids between documents. */
    public long length() {
        return bytes.byteSize() + documents() - 1;
    }

    /** Documents with at least one byte. */
    public long documents() {
        return ends.byteSize() / Long.BYTES;
    }

    /**
     * SHA-256 over the documents, in hexadecimal. Does not depend on where they lie or how they are packed: a folder
     * and a zip file of it have the same.
     */
    public String fingerprint() {
        return Fingerprint.hex(file.fingerprint());
    }

    /** The whole corpus. */
    public CorpusPart all(String name) {
        return new CorpusPart(name, this, new long[] {0}, new long[] {length()});
    }

    /** Where a document ends in ids: the position of the eos id after it, or the end of the corpus. */
    private long end(long document) {
        return ends.getAtIndex(CorpusFile.END, document) + document;
    }

    /** The first document that ends at a position or after it. */
    private long documentAt(long position) {
        long low = 0;
        long high = documents() - 1;
        while (low < high) {
            long middle = (low + high) >>> 1;
            if (end(middle) >= position) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        return low;
    }

    /**
     * Reads ids.
     *
     * @param position of the first one, from 0
     * @param ids      into which to read
     * @param offset   index of the first one there
     * @param count    how many
     * @throws IndexOutOfBoundsException if they lie outside the corpus or the array
     * @throws DataException if the file was cut short by someone since it was opened
     */
    public void read(long position, int[] ids, int offset, int count) {
        Objects.checkFromIndexSize(position, count, length());
        Objects.checkFromIndexSize(offset, count, ids.length);
        try {
            long document = documentAt(position);
            int to = offset + count;
            int at = offset;
            while (at < to) {
                long from = position + (at - offset);
                int run = (int) Math.min(to - at, end(document) - from);
                copy(from - document, ids, at, run);
                at += run;
                if (at < to) {
                    ids[at++] = eosId;
                    document++;
                }
            }
        } catch (InternalError e) {
            throw cutShort(description, e);
        }
    }

    private void copy(long from, int[] ids, int offset, int count) {
        for (int i = 0; i < count; i++) {
            ids[offset + i] = Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, from + i));
        }
    }

    /** Unmaps it. */
    @Override
    public void close() {
        file.close();
    }
}
