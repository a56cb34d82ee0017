package org.megabyte4j.backend.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A file of kernels as nvcc has compiled it, from the class path.
 *
 * @param target the virtual GPU that it was compiled for, such as {@code compute_80}
 * @param text   the PTX
 */
record Ptx(String target, byte[] text) {
    /** What every GPU that is supported can run. */
    static final String LEAST_TARGET = "compute_80";

    private static final Pattern VERSION = Pattern.compile("^\\.version\\s+(\\d+)\\.(\\d+)", Pattern.MULTILINE);

    /**
     * The best for a GPU. The simulated device brings lists of its kernels for builds without nvcc.
     *
     * @throws CudaUnavailableException if this build has none
     */
    static Ptx find(String file, CudaDevice device) {
        Ptx ptx = device.major() == 9 && device.minor() == 0 ? read("compute_90a", file) : null;
        if (ptx == null) {
            ptx = read(LEAST_TARGET, file);
        }
        if (ptx == null && SimulatedDevice.isLoaded()) {
            ptx = simulated(file);
        }
        if (ptx == null) {
            throw new CudaUnavailableException("this build of megabyte4j has no CUDA kernels (" + file
                    + ".ptx is missing); build it where nvcc is installed, with make dist, or use --device cpu");
        }
        return ptx;
    }

    private static Ptx simulated(String file) {
        Path list = SimulatedDevice.folder().resolve("ptx").resolve(LEAST_TARGET).resolve(file + ".ptx");
        try {
            return Files.exists(list) ? new Ptx(LEAST_TARGET, Files.readAllBytes(list)) : null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The files that this build has, such as {@code compute_80/gelu.ptx}, in order; none without nvcc. */
    static List<String> index() {
        try (InputStream in = Ptx.class.getResourceAsStream("ptx/index.txt")) {
            return in == null ? List.of() : new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Ptx read(String target, String file) {
        try (InputStream in = Ptx.class.getResourceAsStream("ptx/" + target + "/" + file + ".ptx")) {
            return in == null ? null : new Ptx(target, in.readAllBytes());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The version of the PTX language, such as {@code 9.0}. */
    String version() {
        Matcher version = version(this);
        return version == null ? "of an unknown version" : version.group(1) + "." + version.group(2);
    }

    /** The first CUDA whose driver knows this version: PTX 8.x came with CUDA 12, 9.x with CUDA 13. */
    String leastCuda() {
        Matcher version = version(this);
        if (version == null) {
            return "a newer one";
        }
        int minor = Integer.parseInt(version.group(2));
        // There was no CUDA 12.7 with a PTX of its own number: 8.6 came with it, 8.7 with 12.8.
        boolean shifted = version.group(1).equals("8") && minor >= 6;
        return Integer.parseInt(version.group(1)) + 4 + "." + (shifted ? minor + 1 : minor);
    }

    private static Matcher version(Ptx ptx) {
        Matcher matcher = VERSION.matcher(new String(ptx.text(), StandardCharsets.ISO_8859_1));
        return matcher.find() ? matcher : null;
    }
}
