package org.megabyte4j.data;

import java.io.EOFException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;

/** What failures of files mean, in words. */
final class SourceErrors {
    private SourceErrors() {
    }

    static DataException unreadable(Path path, IOException e) {
        return switch (e) {
            case AccessDeniedException denied -> permissionDenied(path);
            case NoSuchFileException gone -> new DataException(path + " is gone since the data was listed; start again"
                    + " when nothing changes it", e);
            default -> new DataException(path + " cannot be read: " + reason(e) + "; repair it, or leave it out", e);
        };
    }

    static DataException permissionDenied(Path path) {
        return new DataException(path + " cannot be read: permission denied; change its permissions, or leave it out");
    }

    /** @param what the file, or the entry of a file, that does not decompress */
    static DataException damaged(String what, Exception e) {
        return new DataException(what + " is damaged or cut short: " + reason(e) + "; fetch it again, or leave it out",
                e);
    }

    static DataException notWritten(Path path, IOException e) {
        return new DataException("the corpus file " + path + " cannot be written: " + reason(e)
                + "; make room or choose another cache folder", e);
    }

    static String reason(Exception e) {
        return switch (e) {
            case AccessDeniedException denied -> "permission denied";
            case FileAlreadyExistsException file -> file.getFile() + " is a file, not a folder";
            case FileSystemException other when other.getReason() != null -> other.getReason();
            case FileSystemException other -> other.getClass().getSimpleName() + " " + other.getFile();
            case EOFException end -> "its end is missing";
            default -> e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        };
    }

    /** A size that a reader grasps. */
    static String size(long bytes) {
        return bytes < 1000 ? bytes + " bytes"
                : bytes < 1_000_000 ? String.format(Locale.ROOT, "%.1f KB", bytes / 1e3)
                : bytes < 1_000_000_000 ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
                : String.format(Locale.ROOT, "%.1f GB", bytes / 1e9);
    }
}
