package org.megabyte4j;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/** Reference data that lies beside the project, not in it. Tests that need it are skipped where it is absent. */
public final class SharedData {
    private SharedData() {
    }

    /** A file or folder of the golden data; skips the calling test if it is not there. */
    public static Path golden(String name) {
        return find("golden/" + name);
    }

    /** A file of the text data; skips the calling test if it is not there. */
    public static Path text(String name) {
        return find("data/" + name);
    }

    private static Path find(String name) {
        Path path = Path.of("").toAbsolutePath().resolveSibling("shared").resolve(name);
        assumeTrue(Files.exists(path), () -> "skipped: needs ../shared/" + name + ", which is not there");
        return path;
    }
}
