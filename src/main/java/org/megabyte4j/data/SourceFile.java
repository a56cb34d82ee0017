package org.megabyte4j.data;

import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Locale;

/**
 * A file that a corpus is read from.
 *
 * @param path     where it is
 * @param name     its name below the folder that was given, with {@code /}; empty for a file given itself
 * @param size     bytes on disk
 * @param modified when it last changed
 */
record SourceFile(Path path, String name, long size, FileTime modified) {
    enum Kind {
        PLAIN, GZIP, ZSTD, ZIP
    }

    Kind kind() {
        return kindOf(path.getFileName().toString());
    }

    static Kind kindOf(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return lower.endsWith(".gz") ? Kind.GZIP : lower.endsWith(".zst") ? Kind.ZSTD
                : lower.endsWith(".zip") ? Kind.ZIP : Kind.PLAIN;
    }
}
