package org.megabyte4j.backend.cpu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What Linux could free at once, which is more than what lies unused: files in the page cache count. */
final class AvailableMemory {
    private AvailableMemory() {
    }

    /** Bytes, within the limit of a control group; 0 where the system does not say. */
    static long ofLinux() {
        return of(Path.of("/proc/meminfo"), Path.of("/sys/fs/cgroup"));
    }

    static long of(Path memory, Path controlGroup) {
        try {
            return Math.min(1024 * number(memory, "MemAvailable:"), left(controlGroup));
        } catch (IOException | NumberFormatException e) {
            return 0;
        }
    }

    /** What a control group's limit leaves. Files that it has read count as used, but make room at once. */
    private static long left(Path controlGroup) throws IOException {
        Path limit = controlGroup.resolve("memory.max");
        if (!Files.isReadable(limit)) {
            return Long.MAX_VALUE;
        }
        String text = Files.readString(limit).strip();
        if (text.equals("max")) {
            return Long.MAX_VALUE;
        }
        long used = Long.parseLong(Files.readString(controlGroup.resolve("memory.current")).strip());
        Path parts = controlGroup.resolve("memory.stat");
        long files = number(parts, "active_file") + number(parts, "inactive_file");
        return Math.max(0, Long.parseLong(text) - used + files);
    }

    /** The number on the line that starts with a word; 0 without one. */
    private static long number(Path file, String word) throws IOException {
        for (String line : Files.readAllLines(file)) {
            String[] parts = line.split("\\s+");
            if (parts[0].equals(word)) {
                return Long.parseLong(parts[1]);
            }
        }
        return 0;
    }
}
