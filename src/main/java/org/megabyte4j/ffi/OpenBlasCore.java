package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Tells OpenBLAS which kernels to take where its own choice is not the fastest. AMD's Zen 4 knows AVX-512, but computes
 * each such instruction as two halves: the AVX2 kernels are faster there. Has an effect only before the library loads.
 */
final class OpenBlasCore {
    private static final String VARIABLE = "OPENBLAS_CORETYPE";

    private OpenBlasCore() {
    }

    /** A user's own setting of the environment variable stays. */
    static void choose() {
        try {
            if (System.getProperty("os.name").equals("Linux") && isZen4(Files.readString(Path.of("/proc/cpuinfo")))) {
                setUnlessSet(VARIABLE, "HASWELL");
            }
        } catch (IOException e) {
            // Where the system does not tell its processor, OpenBLAS chooses.
        }
    }

    /** Zen 3 is of the same family, but has no AVX-512. */
    static boolean isZen4(String cpuInfo) {
        String first = cpuInfo.split("\n\n", 2)[0];
        return "AuthenticAMD".equals(value(first, "vendor_id")) && "25".equals(value(first, "cpu family"))
                && List.of(value(first, "flags").split(" ")).contains("avx512f");
    }

    private static String value(String lines, String key) {
        return lines.lines().filter(line -> line.startsWith(key)).findFirst()
                .map(line -> line.substring(line.indexOf(':') + 1).strip()).orElse("");
    }

    /** In the environment of C, which Java's own does not show. */
    private static void setUnlessSet(String name, String value) {
        Linker linker = Linker.nativeLinker();
        try (Arena call = Arena.ofConfined()) {
            int ignored = (int) linker.downcallHandle(linker.defaultLookup().findOrThrow("setenv"),
                    FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT))
                    .invokeExact(call.allocateFrom(name), call.allocateFrom(value), 0);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("setenv", e);
        }
    }
}
