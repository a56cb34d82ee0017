package org.megabyte4j.backend.cuda;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
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

    private static final String HEADER = """
            // %s
            .version 8.0
            .target sm_80
            .address_size 64
            """;
    private static final Pattern VERSION = Pattern.compile("^\\.version\\s+(\\d+)\\.(\\d+)", Pattern.MULTILINE);

    /**
     * The best for a GPU. The simulated one runs the kernels that it was built with, so there a header will do.
     *
     * @throws CudaUnavailableException if this build has none
     */
    static Ptx find(String file, CudaDevice device) {
        Ptx ptx = device.major() == 9 && device.minor() == 0 ? read("compute_90a", file) : null;
        if (ptx == null) {
            ptx = read(LEAST_TARGET, file);
        }
        if (ptx == null && SimulatedDevice.isLoaded()) {
            return new Ptx(LEAST_TARGET, HEADER.formatted(file).getBytes(StandardCharsets.UTF_8));
        }
        if (ptx == null) {
            throw new CudaUnavailableException("this build of megabyte4j has no CUDA kernels (" + file
                    + ".ptx is missing); build it where nvcc is installed, with make dist, or use --device cpu");
        }
        return ptx;
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

    /** The first CUDA whose driver knows this version: PTX 8.x came with CUDA 12.x, 9.x with 13.x. */
    String leastCuda() {
        Matcher version = version(this);
        return version == null ? "a newer one" : Integer.parseInt(version.group(1)) + 4 + "." + version.group(2);
    }

    private static Matcher version(Ptx ptx) {
        Matcher matcher = VERSION.matcher(new String(ptx.text(), StandardCharsets.ISO_8859_1));
        return matcher.find() ? matcher : null;
    }
}
