package org.megabyte4j.backend.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import org.megabyte4j.MegabyteException;

/**
 * Stand-ins for NVIDIA's libraries, which run the kernels on the processor; see docs/architecture.md. They have to be
 * in the process before anything looks for the real ones, which then cannot be used any more: the loader finds
 * libraries by their names.
 */
final class SimulatedDevice {
    private static final String[] LIBRARIES = {"libcuda.so.1", "libcublasLt.so.12", "libcublasLt.so.13",
        "libcublas.so.12"};

    private static Path loaded;

    private SimulatedDevice() {
    }

    /** Whether the libraries of this process are the stand-ins. */
    static synchronized boolean isLoaded() {
        return loaded != null;
    }

    /** Where they lie: as {@code megabyte4j.simulator} or {@code MEGABYTE4J_SIMULATOR} says, or as built here. */
    static Path folder() {
        String asked = System.getProperty("megabyte4j.simulator", System.getenv("MEGABYTE4J_SIMULATOR"));
        return Path.of(asked == null ? "native-build/out/simulator" : asked).toAbsolutePath();
    }

    /** @throws MegabyteException if they are not there, or the process has the real ones already */
    static synchronized void load() {
        if (loaded != null) {
            return;
        }
        Path folder = folder();
        if (!Files.exists(folder.resolve(LIBRARIES[0]))) {
            throw new MegabyteException("the simulated device is not built: there is no " + folder.resolve(LIBRARIES[0])
                    + "; build it with make simulator, or name its folder by MEGABYTE4J_SIMULATOR");
        }
        if (CudaDriver.isOpen()) {
            throw new MegabyteException("NVIDIA's driver is in use already, so the simulated device cannot be;"
                    + " start another process for it");
        }
        for (String library : LIBRARIES) {
            Path file = folder.resolve(library);
            if (Files.exists(file)) {
                try {
                    System.load(file.toString());
                } catch (UnsatisfiedLinkError e) {
                    throw new MegabyteException("the simulated device does not load: " + e.getMessage()
                            + "; build it again with make simulator", e);
                }
            }
        }
        loaded = folder;
    }
}
