package org.megabyte4j.backend.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import org.megabyte4j.ffi.CudaDriverLibrary;
import org.megabyte4j.ffi.MissingLibraryException;

/** Whether a machine looks as if it had a GPU of NVIDIA, be it usable or not. */
public final class CudaPresence {
    private CudaPresence() {
    }

    /** True if the driver's library opens, or the kernel shows a device of NVIDIA's. */
    public static boolean isLikely() {
        return Files.exists(Path.of("/dev/nvidia0")) || Files.exists(Path.of("/proc/driver/nvidia")) || libraryOpens();
    }

    private static boolean libraryOpens() {
        try {
            CudaDriverLibrary.open();
            return true;
        } catch (MissingLibraryException e) {
            return false;
        }
    }
}
