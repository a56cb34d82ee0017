package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import java.nio.file.Path;
import java.util.List;
import org.megabyte4j.data.Sampling;
import org.megabyte4j.train.DataOptions;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which data to learn from, and which to validate on. */
final class DataArguments {
    private static final double DEFAULT_FRACTION = 0.05;

    @Mixin
    private CorpusArguments corpus;

    @Option(names = "--valid-data", paramLabel = "PATH",
            description = "What to validate on; default is a part of the data that is held out.")
    private List<String> validData;

    @Option(names = "--valid-fraction", paramLabel = "SHARE",
            description = "The part of the data that is held out; default " + DEFAULT_FRACTION + ".")
    private Double validFraction;

    /**
     * The data that is asked for.
     *
     * @param stored   what holds where nothing is said; null for the defaults
     * @param sampling how batches are drawn; null for what is stored, or random
     */
    DataOptions options(DataOptions stored, Sampling sampling) {
        if (stored == null) {
            return new DataOptions(corpus.data(List.of()), corpus.globs(List.of()), or(validData, List.of()),
                    or(validFraction, DEFAULT_FRACTION), or(sampling, Sampling.RANDOM));
        }
        return new DataOptions(corpus.data(stored.data()), corpus.globs(stored.globs()), or(validData, stored.validData()),
                or(validFraction, stored.validFraction()), or(sampling, stored.sampling()));
    }

    Path cache() {
        return corpus.cache();
    }
}
