package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Loader;

/**
 * OpenBLAS, signatures of its {@code cblas.h}, row-major. Its own threads are switched off when it is opened: callers
 * split the work and may call from several threads at once.
 */
public final class OpenBlas {
    private static final int ROW_MAJOR = 101;
    private static final int NO_TRANSPOSE = 111;
    private static final int TRANSPOSE = 112;

    private final NativeLibrary library;
    private final MethodHandle sgemm;
    private final String version;
    private final String core;

    private OpenBlas(NativeLibrary library) {
        this.library = library;
        sgemm = library.function("cblas_sgemm", FunctionDescriptor.ofVoid(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
                JAVA_INT, JAVA_INT, JAVA_FLOAT, ADDRESS, JAVA_INT, ADDRESS, JAVA_INT, JAVA_FLOAT, ADDRESS, JAVA_INT));
        version = text("openblas_get_config");
        core = text("openblas_get_corename");
        MethodHandle setThreads = library.function("openblas_set_num_threads", FunctionDescriptor.ofVoid(JAVA_INT));
        try {
            setThreads.invokeExact(1);
        } catch (Throwable e) {
            throw unexpected("openblas_set_num_threads", e);
        }
    }

    /**
     * Opens the library that ships with the Maven artifact {@code org.bytedeco:openblas}, or else the system's.
     *
     * @throws MissingLibraryException if there is none for this platform
     */
    public static OpenBlas open() {
        OpenBlasCore.choose();
        List<String> candidates = new ArrayList<>();
        String shipped = shippedLibrary();
        if (shipped != null) {
            candidates.add(shipped);
        }
        candidates.add("libopenblas.so.0");
        candidates.add("libopenblas.so");
        candidates.add("libopenblas.dylib");
        candidates.add("libopenblas.dll");
        return new OpenBlas(NativeLibrary.open("OpenBLAS", candidates,
                "add the artifact org.bytedeco:openblas with the classifier " + Loader.getPlatform()
                        + " to the class path, or install OpenBLAS"));
    }

    /** Unpacks the library of the class path with JavaCPP's loader; null if there is none for this platform. */
    private static String shippedLibrary() {
        try {
            Loader.load(org.bytedeco.openblas.global.openblas_nolapack.class);
            String name = System.mapLibraryName("openblas").replaceAll("\\.so$", ".so.0")
                    .replaceAll("\\.dylib$", ".0.dylib");
            var resource = OpenBlas.class.getResource("/org/bytedeco/openblas/" + Loader.getPlatform() + "/" + name);
            return resource == null ? null : Loader.cacheResource(resource).getPath();
        } catch (IOException | UnsatisfiedLinkError | NoClassDefFoundError e) {
            return null;
        }
    }

    /** {@code C = alpha op(A) op(B) + beta C}, row-major; {@code op(A)} is m by k, {@code op(B)} k by n. */
    public void sgemm(boolean transposeA, boolean transposeB, int m, int n, int k, float alpha, MemorySegment a,
            int lda, MemorySegment b, int ldb, float beta, MemorySegment c, int ldc) {
        try {
            sgemm.invokeExact(ROW_MAJOR, transposeA ? TRANSPOSE : NO_TRANSPOSE, transposeB ? TRANSPOSE : NO_TRANSPOSE,
                    m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        } catch (Throwable e) {
            throw unexpected("cblas_sgemm", e);
        }
    }

    /** Version and build options, such as {@code OpenBLAS 0.3.31 DYNAMIC_ARCH ...}. */
    public String version() {
        return version;
    }

    /** The processor family that its kernels were chosen for. */
    public String core() {
        return core;
    }

    /** Where the library was found. */
    public String location() {
        return library.name();
    }

    private String text(String function) {
        MethodHandle handle = library.function(function, FunctionDescriptor.of(ADDRESS));
        try {
            return ((MemorySegment) handle.invokeExact()).reinterpret(4096).getString(0);
        } catch (Throwable e) {
            throw unexpected(function, e);
        }
    }

    private static RuntimeException unexpected(String function, Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(function, e);
    }
}
