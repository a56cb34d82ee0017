package org.megabyte4j.cli;

import org.megabyte4j.backend.Backend;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine.Option;

/** In which type a command computes. */
final class PrecisionOptions {
    /** The types that a model can compute in. */
    enum Precision {
        FLOAT32(DType.F32), BF16(DType.BF16);

        private final DType dtype;

        Precision(DType dtype) {
            this.dtype = dtype;
        }

        DType dtype() {
            return dtype;
        }

        @Override
        public String toString() {
            return dtype.label();
        }
    }

    @Option(names = "--dtype", paramLabel = "TYPE", description = "Compute in ${COMPLETION-CANDIDATES}; default"
            + " float32. With bf16, which not every device has, weights and activations are bf16; sums, statistics and"
            + " the weights that training changes stay float32.")
    private Precision precision;

    /**
     * @param stored what holds where nothing is said; null for float32
     * @throws org.megabyte4j.MegabyteException if the device does not compute in it
     */
    DType on(Backend backend, DType stored) {
        DType dtype = precision != null ? precision.dtype : stored != null ? stored : DType.F32;
        backend.require(dtype);
        return dtype;
    }

    /** What is asked for, or float32. */
    DType on(Backend backend) {
        return on(backend, null);
    }
}
