package org.megabyte4j.backend.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.megabyte4j.ffi.CudaDriverLibrary;
import org.megabyte4j.ffi.MissingLibraryException;

/** What there is of CUDA on a machine, be it usable or not. */
public final class CudaPresence {
    private CudaPresence() {
    }

    /** A line of {@link #report}. */
    public record Line(String name, String value) { }

    /** The driver, the GPUs, and what this build has for them; or the reason why there are none. */
    public static List<Line> report() {
        List<Line> lines = new ArrayList<>();
        lines.add(new Line("CUDA PTX", kernels()));
        try {
            CudaDriver driver = CudaDriver.open();
            lines.add(new Line("driver", driver.library().name() + ", knows CUDA "
                    + CudaDriver.written(driver.version())));
            if (driver.devices().isEmpty()) {
                lines.add(new Line("GPU", "none that the driver finds"));
            }
            driver.devices().forEach(device ->
                    lines.add(new Line("GPU cuda:" + device.ordinal(), device.description())));
        } catch (CudaUnavailableException | CudaException e) {
            lines.add(new Line("GPU", "none: " + e.getMessage()));
        }
        return lines;
    }

    private static String kernels() {
        Map<String, Long> targets = Ptx.index().stream().collect(Collectors.groupingBy(
                file -> file.substring(0, file.indexOf('/')), TreeMap::new, Collectors.counting()));
        return targets.isEmpty() ? "none in this build; make kernels compiles it where nvcc is installed"
                : targets.entrySet().stream().map(e -> e.getKey() + ", " + e.getValue()
                        + (e.getValue() == 1 ? " file" : " files")).collect(Collectors.joining("; "));
    }

    /** True if the driver's library opens, and is not the simulated one, or the kernel shows a device of NVIDIA's. */
    public static boolean isLikely() {
        return Files.exists(Path.of("/dev/nvidia0")) || Files.exists(Path.of("/proc/driver/nvidia"))
                || !SimulatedDevice.isLoaded() && libraryOpens();
    }

    private static boolean libraryOpens() {
        if (SimulatedDevice.isLoaded()) {
            return false;   // it would be the stand-in that opens
        }
        try {
            CudaDriverLibrary.open();
            return true;
        } catch (MissingLibraryException e) {
            return false;
        }
    }
}
