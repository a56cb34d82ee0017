package org.megabyte4j.backend.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;

/** The simulated device, for tests that need it. */
final class Simulated {
    private Simulated() {
    }

    /** Skips the test where the simulated device is not built. */
    static void assumeBuilt() {
        assumeTrue(Files.exists(SimulatedDevice.folder().resolve("libcuda.so.1")),
                "the simulated device is not built; make simulator builds it with g++");
    }
}
