package org.megabyte4j.cli;

import org.megabyte4j.tensor.DType;
import picocli.CommandLine.Option;

/** In which type a generator reads the matrices. */
final class WeightsOptions {
    @Option(names = "--weights", paramLabel = "TYPE", description = "Read the weights of Linear layers in"
            + " ${COMPLETION-CANDIDATES}; default is that of --dtype. On the CPU bf16 is half as much to read for each"
            + " byte, in copies that take half as much memory again; everything else stays float32.")
    private PrecisionOptions.Precision precision;

    boolean areGiven() {
        return precision != null;
    }

    /** @param otherwise what holds where nothing is said */
    DType or(DType otherwise) {
        return precision == null ? otherwise : precision.dtype();
    }
}
