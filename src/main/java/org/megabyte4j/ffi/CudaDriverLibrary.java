package org.megabyte4j.ffi;

import java.util.List;

/** NVIDIA's driver library: whether it is there at all, and the functions that JCuda 12.6 lacks. */
public final class CudaDriverLibrary {
    private final NativeLibrary library;

    private CudaDriverLibrary(NativeLibrary library) {
        this.library = library;
    }

    /** @throws MissingLibraryException if this machine has no driver of NVIDIA */
    public static CudaDriverLibrary open() {
        return open(System.getProperty("os.name").startsWith("Windows") ? List.of("nvcuda.dll") : List.of("libcuda.so.1"));
    }

    /** For tests: other names. */
    static CudaDriverLibrary open(List<String> names) {
        return new CudaDriverLibrary(NativeLibrary.open("NVIDIA's driver", names,
                "install NVIDIA's driver for Linux, 580 or newer, or use --device cpu"));
    }

    /** Where the library was found. */
    public String name() {
        return library.name();
    }
}
