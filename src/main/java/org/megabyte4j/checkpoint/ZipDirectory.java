package org.megabyte4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The entries of a zip file in memory, as slices of it. Only stored entries, which is how PyTorch writes them: they can
 * be used where they are, and a small file cannot unpack to a large one. (The JDK's own reader does not tell where the
 * bytes of an entry lie.)
 *
 * @see <a href="https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT">APPNOTE.TXT, 4.3</a>
 */
final class ZipDirectory {
    private static final int END = 0x06054b50;
    private static final int END_BYTES = 22;
    private static final int END64_LOCATOR = 0x07064b50;
    private static final int END64_LOCATOR_BYTES = 20;
    private static final int END64 = 0x06064b50;
    private static final int END64_BYTES = 56;
    private static final int CENTRAL = 0x02014b50;
    private static final int CENTRAL_BYTES = 46;
    private static final int LOCAL = 0x04034b50;
    private static final int LOCAL_BYTES = 30;
    private static final int EXTRA64 = 1;
    private static final long IN_EXTRA = 0xFFFFFFFFL;

    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** One file in the zip file. */
    record Entry(String name, MemorySegment data, int crc32) {
    }

    private record Extent(String name, long start, long end) {
    }

    private final String source;
    private final MemorySegment file;

    private ZipDirectory(String source, MemorySegment file) {
        this.source = source;
        this.file = file;
    }

    /**
     * @param source the file, for messages
     * @return the entries by name, in the order of the directory
     * @throws CheckpointException if the file is damaged
     */
    static Map<String, Entry> read(String source, MemorySegment file) {
        return new ZipDirectory(source, file).read();
    }

    private Map<String, Entry> read() {
        long end = findEnd();
        long start = uint(end + 16);
        long size = uint(end + 12);
        long count = ushort(end + 10);
        long locator = end - END64_LOCATOR_BYTES;
        if (locator >= 0 && file.get(INT, locator) == END64_LOCATOR) {
            long end64 = file.get(LONG, locator + 8);
            if (end64 < 0 || end64 > locator - END64_BYTES || file.get(INT, end64) != END64) {
                throw damaged("its 64-bit directory is not where it should be");
            }
            count = file.get(LONG, end64 + 32);
            size = file.get(LONG, end64 + 40);
            start = file.get(LONG, end64 + 48);
        }
        if (start < 0 || size < 0 || start > end || size > end - start || count < 0 || count > size / CENTRAL_BYTES) {
            throw damaged("its directory of " + count + " entries in " + size + " bytes at " + start
                    + " does not fit the file");
        }
        return entries(start, size, count);
    }

    private long findEnd() {
        long last = file.byteSize() - END_BYTES;
        for (long at = last; at >= Math.max(0, last - 0xFFFF); at--) {
            if (file.get(INT, at) == END && at + END_BYTES + ushort(at + 20) == file.byteSize()) {
                return at;
            }
        }
        throw damaged("it has no directory at its end; the file may be truncated");
    }

    private Map<String, Entry> entries(long start, long size, long count) {
        Map<String, Entry> entries = new LinkedHashMap<>();
        List<Extent> extents = new ArrayList<>();
        long at = start;
        for (long i = 0; i < count; i++) {
            long left = start + size - at;
            if (left < CENTRAL_BYTES || file.get(INT, at) != CENTRAL
                    || left < CENTRAL_BYTES + ushort(at + 28) + ushort(at + 30) + ushort(at + 32)) {
                throw damaged("entry " + i + " of its directory is not one");
            }
            Entry entry = entry(at, extents);
            if (entries.put(entry.name, entry) != null) {
                throw damaged("two entries are named " + SafeTensorsHeader.brief(entry.name));
            }
            at += CENTRAL_BYTES + ushort(at + 28) + ushort(at + 30) + ushort(at + 32);
        }
        requireApart(extents);
        return entries;
    }

    private Entry entry(long at, List<Extent> extents) {
        String name = new String(file.asSlice(at + CENTRAL_BYTES, ushort(at + 28)).toArray(ValueLayout.JAVA_BYTE),
                StandardCharsets.UTF_8);
        String shown = SafeTensorsHeader.brief(name);
        if ((ushort(at + 8) & 1) != 0) {
            throw damaged("its entry " + shown + " is encrypted");
        }
        long packed = uint(at + 20);
        long size = uint(at + 24);
        long local = uint(at + 42);
        long extra = at + CENTRAL_BYTES + ushort(at + 28);
        long wide = extra64(extra, extra + ushort(at + 30));
        long wideEnd = wide + (wide == 0 ? 0 : ushort(wide - 2));
        // Each 64-bit field is there only if the 32-bit one is full.
        for (int field = 0; field < 3; field++) {
            boolean isWide = (field == 0 ? size : field == 1 ? packed : local) == IN_EXTRA;
            if (isWide) {
                if (wide == 0 || wide + 8 > wideEnd) {
                    throw damaged("its entry " + shown + " lacks its 64-bit size");
                }
                long value = file.get(LONG, wide);
                wide += 8;
                switch (field) {
                    case 0 -> size = value;
                    case 1 -> packed = value;
                    default -> local = value;
                }
            }
        }
        if (ushort(at + 10) != 0 || packed != size) {
            throw new CheckpointException(source + " has the compressed entry " + shown
                    + ", which torch.save never writes; unpack the zip file and pack it again without compression"
                    + " (zip -0)");
        }
        if (local < 0 || local > file.byteSize() - LOCAL_BYTES || file.get(INT, local) != LOCAL) {
            throw damaged("its entry " + shown + " is not where the directory says");
        }
        long data = local + LOCAL_BYTES + ushort(local + 26) + ushort(local + 28);
        if (size < 0 || data > file.byteSize() || size > file.byteSize() - data) {
            throw damaged("its entry " + shown + " of " + size + " bytes does not fit the file");
        }
        extents.add(new Extent(shown, local, data + size));
        return new Entry(name, file.asSlice(data, size), file.get(INT, at + 16));
    }

    /** Where the 64-bit fields start among the extra fields of an entry; 0 if there are none. */
    private long extra64(long from, long to) {
        for (long at = from; at + 4 <= to; at += 4 + ushort(at + 2)) {
            if (ushort(at) == EXTRA64 && at + 4 + ushort(at + 2) <= to) {
                return at + 4;
            }
        }
        return 0;
    }

    /** Entries that share bytes would let a small file ask for work without end. */
    private void requireApart(List<Extent> extents) {
        extents.sort(Comparator.comparingLong(Extent::start));
        for (int i = 1; i < extents.size(); i++) {
            if (extents.get(i).start < extents.get(i - 1).end) {
                throw damaged("its entries " + extents.get(i - 1).name + " and " + extents.get(i).name + " overlap");
            }
        }
    }

    private long uint(long at) {
        return file.get(INT, at) & 0xFFFFFFFFL;
    }

    private int ushort(long at) {
        return file.get(SHORT, at) & 0xFFFF;
    }

    private CheckpointException damaged(String what) {
        return new CheckpointException(source + " is a damaged zip file: " + what);
    }
}
