package org.megabyte4j.cli;

import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Rates;
import org.megabyte4j.tensor.DType;
import picocli.CommandLine.Option;

/** What floors are computed with: rates that are given or known, or else those measured on the device. */
final class RooflineOptions {
    /** Of the product and the copy that a GPU is measured with. */
    private static final int GPU_PRODUCT = 8192;
    private static final long GPU_COPY = 1L << 30;
    private static final int CPU_PRODUCT = 2048;
    private static final long CPU_COPY = 256L << 20;
    /** Of what can be given: less or more is a slip. */
    private static final double LEAST_RATE = 1e-3;
    private static final double MOST_RATE = 1e6;
    private static final int SIMULATED_PRODUCT = 32;
    private static final long SIMULATED_COPY = 1 << 16;

    @Option(names = "--roofline", description = "Accounts for a training step, operation by operation: calls, FLOPs,"
            + " bytes, the least time for them, and the time that they took. With --card or given rates only the plan"
            + " is looked at, and no device or memory is needed.")
    private boolean asked;

    @Option(names = "--card", paramLabel = "CARD", description = "With --roofline, the rates of a card:"
            + " ${COMPLETION-CANDIDATES}; 80 %% of its peak of dense products and 85 %% of its bandwidth.")
    private Card card;

    @Option(names = "--matrix-tflops", paramLabel = "X", description = "With --roofline, TFLOP/s of a large product.")
    private Double tflops;

    @Option(names = "--bandwidth-gb", paramLabel = "X",
            description = "With --roofline, GB/s of a large copy, read and written bytes together.")
    private Double bandwidth;

    boolean areAskedFor() {
        return asked;
    }

    /** Why these options make no sense; null if they do. */
    String problem() {
        if (!asked) {
            return card != null || tflops != null || bandwidth != null
                    ? "--card, --matrix-tflops and --bandwidth-gb are for --roofline; add that, or leave them out"
                    : null;
        }
        if (card == null && (tflops == null) != (bandwidth == null)) {
            return "--matrix-tflops and --bandwidth-gb go together, or name a --card";
        }
        String problem = problem("--matrix-tflops", tflops);
        return problem != null ? problem : problem("--bandwidth-gb", bandwidth);
    }

    private static String problem(String option, Double rate) {
        return rate == null || rate >= LEAST_RATE && rate <= MOST_RATE ? null : option + " " + rate
                + " is not possible; use a number from " + LEAST_RATE + " to " + MOST_RATE;
    }

    /** The rates that are given; null if they are to be measured. */
    Rates given(DType dtype) {
        if (card == null && tflops == null) {
            return null;
        }
        Rates usual = card == null ? null : card.usual(dtype);
        return new Rates(tflops == null ? usual.flopsPerSecond() : 1e12 * tflops,
                bandwidth == null ? usual.bytesPerSecond() : 1e9 * bandwidth);
    }

    /** Measures a device. */
    static Rates measured(Backend backend, DType dtype) {
        if (backend.name().equals("simulated")) {
            return Rates.measure(backend, dtype, SIMULATED_PRODUCT, SIMULATED_COPY);
        }
        return backend.isAsynchronous() ? Rates.measure(backend, dtype, GPU_PRODUCT, GPU_COPY)
                : Rates.measure(backend, dtype, CPU_PRODUCT, CPU_COPY);
    }
}
