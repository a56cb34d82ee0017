package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import org.megabyte4j.train.Bookkeeping;
import picocli.CommandLine.Option;

/** What a training run writes down, and how often. */
final class BookkeepingArguments {
    private static final Bookkeeping DEFAULT = new Bookkeeping(1, 500, 2, 250, 256 << 10);

    @Option(names = "--checkpoint-every", paramLabel = "N",
            description = "Steps from one checkpoint to the next; default 500.")
    private Long checkpointEvery;

    @Option(names = "--keep", paramLabel = "N",
            description = "How many of the newest checkpoints are kept; default 2.")
    private Integer keep;

    @Option(names = "--eval-every", paramLabel = "N",
            description = "Steps from one validation to the next; 0 for only at the end; default 250.")
    private Long validateEvery;

    @Option(names = "--eval-bytes", paramLabel = "N", description = "About how many bytes to validate on, spread over"
            + " the held-out data; default 262144.")
    private Long validationBytes;

    @Option(names = "--log-every", paramLabel = "N",
            description = "Steps from one line of metrics.jsonl to the next; default 1.")
    private Long logEvery;

    /** @param stored what holds where nothing is said; null for the defaults */
    Bookkeeping options(Bookkeeping stored) {
        Bookkeeping base = stored == null ? DEFAULT : stored;
        return new Bookkeeping(or(logEvery, base.logEvery()), or(checkpointEvery, base.checkpointEvery()),
                or(keep, base.keep()), or(validateEvery, base.validateEvery()),
                or(validationBytes, base.validationBytes()));
    }
}
