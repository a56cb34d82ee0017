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
        try {
            long available = 0;
            for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
                if (line.startsWith("MemAvailable:")) {
                    available = 1024 * Long.parseLong(line.replaceAll("\\D", ""));
                }
            }
            return Math.min(available, controlGroup());
        } catch (IOException | NumberFormatException e) {
            return 0;
        }
    }

    private static long controlGroup() throws IOException {
        Path limit = Path.of("/sys/fs/cgroup/memory.max");
        Path current = Path.of("/sys/fs/cgroup/memory.current");
        if (!Files.isReadable(limit) || !Files.isReadable(current)) {
            return Long.MAX_VALUE;
        }
        String text = Files.readString(limit).strip();
        return text.equals("max") ? Long.MAX_VALUE : Long.parseLong(text)
                - Long.parseLong(Files.readString(current).strip());
    }
}
