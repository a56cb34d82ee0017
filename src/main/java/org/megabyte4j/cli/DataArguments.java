package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import java.nio.file.Path;
import java.util.List;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.train.DataOptions;
import picocli.CommandLine.Option;

/** Which data a command reads. */
final class DataArguments {
    private static final double DEFAULT_FRACTION = 0.05;

    @Option(names = "--data", paramLabel = "PATH", description = "A file (plain, .gz, .zst, .zip) or a folder; may be"
            + " repeated. demo is the source code that comes with Java.")
    private List<String> data;

    @Option(names = "--glob", paramLabel = "GLOB", description = "Which files of folders and zip files to take, such as"
            + " **/*.txt; may be repeated; default is all.")
    private List<String> globs;

    @Option(names = "--valid-data", paramLabel = "PATH",
            description = "What to validate on; default is a part of the data that is held out.")
    private List<String> validData;

    @Option(names = "--valid-fraction", paramLabel = "SHARE",
            description = "The part of the data that is held out; default " + DEFAULT_FRACTION + ".")
    private Double validFraction;

    @Option(names = "--cache", paramLabel = "DIR", description = "Where data that is not one plain file is unpacked to;"
            + " default is megabyte4j in the user's cache folder.")
    private Path cache;

    boolean isGiven() {
        return data != null || globs != null || validData != null || validFraction != null;
    }

    /**
     * The data that is asked for.
     *
     * @param stored   what holds where nothing is said; null for the defaults
     * @param sampling how batches are drawn; null for what is stored, or random
     */
    DataOptions options(DataOptions stored, Sampling sampling) {
        if (stored == null) {
            return new DataOptions(or(data, List.of()), or(globs, List.of()), or(validData, List.of()),
                    or(validFraction, DEFAULT_FRACTION), or(sampling, Sampling.RANDOM));
        }
        return new DataOptions(or(data, stored.data()), or(globs, stored.globs()), or(validData, stored.validData()),
                or(validFraction, stored.validFraction()), or(sampling, stored.sampling()));
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
