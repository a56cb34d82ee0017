package org.megabyte4j.cli;

import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.backend.cuda.Blas;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.backend.cuda.CudaPresence;
import org.megabyte4j.backend.cuda.CudaUnavailableException;
import org.megabyte4j.backend.cuda.Tuning;

/** Opens the backend that a name stands for. */
final class Devices {
    private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,4}))?");

    /** Where GPUs come from; tests have their own. */
    interface Gpus {
        /** @param ordinal the number of a GPU, -1 for the first that can be used */
        Backend open(int ordinal, Blas blas, Tuning tuning);

        Backend openSimulated(Blas blas);

        /** Whether the machine looks as if it had a GPU of NVIDIA. */
        boolean arePresent();
    }

    private final Gpus gpus;

    Devices(Gpus gpus) {
        this.gpus = gpus;
    }

    static Devices ofThisMachine() {
        return new Devices(new Gpus() {
            @Override
            public Backend open(int ordinal, Blas blas, Tuning tuning) {
                return CudaBackend.open(ordinal, blas, tuning);
            }

            @Override
            public Backend openSimulated(Blas blas) {
                return CudaBackend.openSimulated(blas);
            }

            @Override
            public boolean arePresent() {
                return CudaPresence.isLikely();
            }
        });
    }

    /** Whether a name has a meaning, on whatever machine. */
    static boolean isName(String device) {
        return switch (device.toLowerCase(Locale.ROOT)) {
            case "auto", "cpu", "simulated" -> true;
            default -> CUDA.matcher(device.toLowerCase(Locale.ROOT)).matches();
        };
    }

    /**
     * Opens a device; the caller closes it.
     *
     * @param device  a name
     * @param blas    which library computes the matrix products of a GPU
     * @param tuning  whether what only the GPU can tell is measured on it
     * @param threads of the CPU, asked only if it computes
     * @param warning gets a sentence if a GPU that seems to be there cannot be used
     * @throws CudaUnavailableException if a GPU is asked for and there is none that can be used
     */
    Backend open(String device, Blas blas, Tuning tuning, IntSupplier threads, Consumer<String> warning) {
        return switch (device.toLowerCase(Locale.ROOT)) {
            case "cpu" -> CpuBackend.open(threads.getAsInt());
            case "auto" -> openBest(blas, tuning, threads, warning);
            case "simulated" -> gpus.openSimulated(blas);
            default -> {
                Matcher matcher = CUDA.matcher(device.toLowerCase(Locale.ROOT));
                if (!matcher.matches()) {
                    throw new IllegalArgumentException(device);
                }
                yield gpus.open(matcher.group(1) == null ? -1 : Integer.parseInt(matcher.group(1)), blas, tuning);
            }
        };
    }

    private Backend openBest(Blas blas, Tuning tuning, IntSupplier threads, Consumer<String> warning) {
        try {
            return gpus.open(-1, blas, tuning);
        } catch (MegabyteException e) {
            if (gpus.arePresent()) {
                warning.accept("computing on the CPU, because the GPU cannot be used: " + e.getMessage());
            }
            return CpuBackend.open(threads.getAsInt());
        }
    }
}
