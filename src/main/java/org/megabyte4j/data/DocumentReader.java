package org.megabyte4j.data;

import com.github.luben.zstd.ZstdInputStream;
import java.io.BufferedInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** Reads the documents in a file as a stream, decompressing on the way; never holds one in memory. */
final class DocumentReader {
    private static final int BUFFER = 1 << 17;

    private final SourceListing listing;
    private final DocumentSink sink;
    private final byte[] buffer = new byte[BUFFER];

    DocumentReader(SourceListing listing, DocumentSink sink) {
        this.listing = listing;
        this.sink = sink;
    }

    /** @throws DataException if it is damaged or unreadable */
    void read(SourceFile file) {
        if (file.kind() == SourceFile.Kind.ZIP) {
            readZip(file);
            return;
        }
        try (InputStream in = Files.newInputStream(file.path())) {
            readDocument(file.path().toString(), file.kind(), in);
        } catch (IOException e) {
            throw SourceErrors.unreadable(file.path(), e);
        }
    }

    private void readDocument(String what, SourceFile.Kind kind, InputStream compressed) throws IOException {
        if (kind == SourceFile.Kind.PLAIN) {
            copy(compressed);
        } else {
            // Failing to decompress is another matter than failing to read, but both are IOExceptions.
            var source = new Source(compressed);
            try (InputStream in = decompressed(what, kind, source)) {
                copy(in);
            } catch (IOException e) {
                if (e == source.failure) {
                    throw e;
                }
                throw SourceErrors.damaged(what, e);
            }
        }
        sink.endDocument();
    }

    private void copy(InputStream in) throws IOException {
        for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
            sink.write(buffer, count);
        }
    }

    private static InputStream decompressed(String what, SourceFile.Kind kind, InputStream in) throws IOException {
        if (kind == SourceFile.Kind.GZIP) {
            return new WholeGzip(in);
        }
        try {
            return new ZstdInputStream(in);
        } catch (LinkageError e) {
            throw new DataException(what + " needs the native library of zstd, which does not load here: "
                    + e.getMessage() + "; decompress it with zstd -d, and name the result", e);
        }
    }

    private void readZip(SourceFile file) {
        // Entries that do not say their names are UTF-8 are read as Latin-1, in which any bytes are a name.
        try (ZipFile zip = new ZipFile(file.path().toFile(), StandardCharsets.ISO_8859_1)) {
            List<ZipEntry> entries = accepted(file, zip);
            if (entries.isEmpty() && file.name().isEmpty()) {
                throw new DataException(zip.size() == 0 ? file.path() + " holds no entry; name other data"
                        : listing.hasGlobs() ? "no entry of " + file.path() + " matches " + listing.globsInWords()
                                + "; change the glob, or name other data"
                        : file.path() + " holds nothing but folders and hidden files; name other data");
            }
            for (ZipEntry entry : entries) {
                readEntry(file, zip, entry);
            }
        } catch (ZipException e) {
            throw SourceErrors.damaged(file.path().toString(), e);
        } catch (IOException e) {
            throw SourceErrors.unreadable(file.path(), e);
        }
    }

    private List<ZipEntry> accepted(SourceFile file, ZipFile zip) {
        String prefix = file.name().isEmpty() ? "" : file.name() + "/";
        record Named(String[] name, ZipEntry entry) {
        }
        return zip.stream().filter(entry -> !entry.isDirectory() && listing.accepts(prefix + entry.getName()))
                .map(entry -> new Named(entry.getName().split("/"), entry))
                .filter(named -> Arrays.stream(named.name)
                        .noneMatch(part -> SourceListing.isHidden(part) || part.equals("__MACOSX")))
                .sorted((a, b) -> Arrays.compare(a.name, b.name)).map(Named::entry).toList();
    }

    private void readEntry(SourceFile file, ZipFile zip, ZipEntry entry) {
        // Names come from anywhere, and shall not write to the terminal but letters.
        String what = "the entry " + entry.getName().replaceAll("\\p{Cc}", "\uFFFD") + " in " + file.path();
        SourceFile.Kind kind = SourceFile.kindOf(entry.getName());
        if (kind == SourceFile.Kind.ZIP) {
            throw new DataException(what + " is an archive in an archive; unpack " + file.path()
                    + ", or leave the entry out with a glob");
        }
        try (InputStream in = new CheckedEntry(zip.getInputStream(entry), entry)) {
            readDocument(what, kind, in);
        } catch (IOException e) {
            throw SourceErrors.damaged(what, e);
        }
    }

    /** Remembers its own failure. */
    private static final class Source extends FilterInputStream {
        private IOException failure;

        Source(InputStream in) {
            super(new BufferedInputStream(in, BUFFER));
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : Byte.toUnsignedInt(one[0]);
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            try {
                return super.read(into, offset, length);
            } catch (IOException e) {
                failure = e;
                throw e;
            }
        }
    }

    /** Unlike its parent it does not take whatever follows a member, such as a damaged one, for the end. */
    private static final class WholeGzip extends GZIPInputStream {
        private static final int TRAILER = 8;

        WholeGzip(InputStream in) throws IOException {
            super(in, BUFFER);
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int count = super.read(into, offset, length);
            if (count < 0 && (inf.getRemaining() > TRAILER || in.read() >= 0)) {
                throw new ZipException("it goes on after its end with something that is not gzip");
            }
            return count;
        }
    }

    /** Compares length and CRC at the end of an entry, which the JDK's own stream does not. */
    private static final class CheckedEntry extends FilterInputStream {
        private final ZipEntry entry;
        private final CRC32 crc = new CRC32();
        private long size;

        CheckedEntry(InputStream in, ZipEntry entry) {
            super(in);
            this.entry = entry;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : Byte.toUnsignedInt(one[0]);
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int count = super.read(into, offset, length);
            if (count > 0) {
                crc.update(into, offset, count);
                size += count;
            } else if (count < 0 && (size != entry.getSize() || crc.getValue() != entry.getCrc())) {
                throw new ZipException("its checksum does not match");
            }
            return count;
        }
    }
}
