package org.megabyte4j.ffi;

import java.util.List;

/** cuBLAS of CUDA 12, which JCublas calls: whether it is there, asked before JCublas loads and would break for good. */
public final class CublasLibrary {
    private CublasLibrary() {
    }

    /** @throws MissingLibraryException if this machine has no cuBLAS of CUDA 12 */
    public static void require() {
        require(System.getProperty("os.name").startsWith("Windows") ? List.of("cublas64_12.dll")
                : List.of("libcublas.so.12"));
    }

    /** As {@link #require()}, under other names. */
    public static void require(List<String> names) {
        NativeLibrary.open("cuBLAS for JCublas", names,
                "install cuBLAS of CUDA 12 and put its folder on LD_LIBRARY_PATH");
    }
}
