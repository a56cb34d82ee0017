package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;

/** Files and folders that make a corpus. */
final class CorpusArguments {
    @Option(names = "--data", paramLabel = "PATH", description = "A file (plain, .gz, .zst, .zip) or a folder; may be"
            + " repeated. demo is the source code that comes with Java.")
    private List<String> data;

    @Option(names = "--glob", paramLabel = "GLOB", description = "Which files of folders and zip files to take, such as"
            + " **/*.txt; may be repeated; default is all.")
    private List<String> globs;

    @Option(names = "--cache", paramLabel = "DIR", description = "Where data that is not one plain file is unpacked to;"
            + " default is megabyte4j in the user's cache folder.")
    private Path cache;

    /** Whether it is said which data. */
    boolean isGiven() {
        return data != null;
    }

    List<String> data(List<String> otherwise) {
        return or(data, otherwise);
    }

    List<String> globs(List<String> otherwise) {
        return or(globs, otherwise);
    }

    Path cache() {
        return cache != null ? cache : userCache().resolve("megabyte4j");
    }

    /** Where the user's programs keep what they can make again. */
    private static Path userCache() {
        for (String variable : List.of("XDG_CACHE_HOME", "LOCALAPPDATA")) {
            String folder = System.getenv(variable);
            if (folder != null && !folder.isBlank()) {
                return Path.of(folder);
            }
        }
        return Path.of(System.getProperty("user.home"), ".cache");
    }
}
