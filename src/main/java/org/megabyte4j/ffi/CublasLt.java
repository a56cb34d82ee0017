package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.List;

/**
 * cuBLASLt of CUDA 12 or 13, and a handle of it for the CUDA context that is current when it is opened. Signatures and
 * constants are those of cublasLt.h 13.1.1, under its names; what is used of them has not changed since 12.0.
 *
 * <p>Handles, descriptors and device addresses go through as numbers, so that a call makes no garbage. Used by one
 * thread, the one whose context it was opened in.
 */
public final class CublasLt implements AutoCloseable {
    private static final String NAME = "cuBLASLt";
    private static final String REMEDY = "install cuBLAS of CUDA 12 or 13 and put its folder on LD_LIBRARY_PATH";

    private final NativeLibrary library;
    private final MethodHandle getVersion;
    private final MethodHandle create;
    private final MethodHandle destroy;
    private final MethodHandle layoutCreate;
    private final MethodHandle layoutDestroy;
    private final MethodHandle descriptionCreate;
    private final MethodHandle descriptionDestroy;
    private final MethodHandle descriptionSet;
    private final MethodHandle preferenceCreate;
    private final MethodHandle preferenceDestroy;
    private final MethodHandle preferenceSet;
    private final MethodHandle getHeuristic;
    private final MethodHandle algorithmGet;
    private final MethodHandle matmul;
    private long handle;

    private CublasLt(NativeLibrary library) {
        this.library = library;
        getVersion = library.function("cublasLtGetVersion", FunctionDescriptor.of(JAVA_LONG));
        create = library.function("cublasLtCreate", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        destroy = library.function("cublasLtDestroy", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        layoutCreate = library.function("cublasLtMatrixLayoutCreate", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT,
                JAVA_LONG, JAVA_LONG, JAVA_LONG));
        layoutDestroy = library.function("cublasLtMatrixLayoutDestroy", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        descriptionCreate = library.function("cublasLtMatmulDescCreate", FunctionDescriptor.of(JAVA_INT, ADDRESS,
                JAVA_INT, JAVA_INT));
        descriptionDestroy = library.function("cublasLtMatmulDescDestroy", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
        descriptionSet = library.function("cublasLtMatmulDescSetAttribute", FunctionDescriptor.of(JAVA_INT, JAVA_LONG,
                JAVA_INT, JAVA_LONG, JAVA_LONG));
        preferenceCreate = library.function("cublasLtMatmulPreferenceCreate", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        preferenceDestroy = library.function("cublasLtMatmulPreferenceDestroy", FunctionDescriptor.of(JAVA_INT,
                JAVA_LONG));
        preferenceSet = library.function("cublasLtMatmulPreferenceSetAttribute", FunctionDescriptor.of(JAVA_INT,
                JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG));
        getHeuristic = library.function("cublasLtMatmulAlgoGetHeuristic", FunctionDescriptor.of(JAVA_INT, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, ADDRESS, ADDRESS));
        algorithmGet = library.function("cublasLtMatmulAlgoConfigGetAttribute", FunctionDescriptor.of(JAVA_INT, ADDRESS,
                JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS));
        matmul = library.function("cublasLtMatmul", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));
        try (Arena call = Arena.ofConfined()) {
            MemorySegment out = call.allocate(ADDRESS);
            handle = made("cublasLtCreate", (int) create.invokeExact(out), out);
        } catch (Throwable e) {
            throw unexpected("cublasLtCreate", e);
        }
    }

    /**
     * Opens the newest version that works with this driver, for the CUDA context that is current.
     *
     * @throws MissingLibraryException if there is none; the message has each one tried, with the reason
     */
    public static CublasLt open() {
        return open(System.getProperty("os.name").startsWith("Windows")
                ? List.of("cublasLt64_13.dll", "cublasLt64_12.dll")
                : List.of("libcublasLt.so.13", "libcublasLt.so.12"));
    }

    /** As {@link #open()}, from these libraries: paths, or names for the system's loader to find. */
    public static CublasLt open(List<String> candidates) {
        return NativeLibrary.open(NAME, candidates, REMEDY, CublasLt::new);
    }

    /** Where the library was found. */
    public String location() {
        return library.name();
    }

    /** {@code 10000 * major + 100 * minor + patch}. */
    public long version() {
        try {
            return (long) getVersion.invokeExact();
        } catch (Throwable e) {
            throw unexpected("cublasLtGetVersion", e);
        }
    }

    /** A matrix as it lies in memory, column-major, and how well its start is aligned. */
    long layoutCreate(int type, long rows, long columns, long leadingDimension) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment out = call.allocate(ADDRESS);
            return made("cublasLtMatrixLayoutCreate",
                    (int) layoutCreate.invokeExact(out, type, rows, columns, leadingDimension), out);
        } catch (Throwable e) {
            throw unexpected("cublasLtMatrixLayoutCreate", e);
        }
    }

    void layoutDestroy(long layout) {
        destroy("cublasLtMatrixLayoutDestroy", layoutDestroy, layout);
    }

    long descriptionCreate(int computeType, int scaleType) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment out = call.allocate(ADDRESS);
            return made("cublasLtMatmulDescCreate",
                    (int) descriptionCreate.invokeExact(out, computeType, scaleType), out);
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulDescCreate", e);
        }
    }

    void descriptionDestroy(long description) {
        destroy("cublasLtMatmulDescDestroy", descriptionDestroy, description);
    }

    /** Sets an attribute from the bytes at an address of the host. */
    void descriptionSet(long description, int attribute, long value, long bytes) {
        try {
            check("cublasLtMatmulDescSetAttribute",
                    (int) descriptionSet.invokeExact(description, attribute, value, bytes));
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulDescSetAttribute", e);
        }
    }

    long preferenceCreate() {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment out = call.allocate(ADDRESS);
            return made("cublasLtMatmulPreferenceCreate", (int) preferenceCreate.invokeExact(out), out);
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulPreferenceCreate", e);
        }
    }

    void preferenceDestroy(long preference) {
        destroy("cublasLtMatmulPreferenceDestroy", preferenceDestroy, preference);
    }

    /** Sets an attribute from the bytes at an address of the host. */
    void preferenceSet(long preference, int attribute, long value, long bytes) {
        try {
            check("cublasLtMatmulPreferenceSetAttribute",
                    (int) preferenceSet.invokeExact(preference, attribute, value, bytes));
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulPreferenceSetAttribute", e);
        }
    }

    /** Fills {@code results}, at most {@code wanted} of {@code cublasLtMatmulHeuristicResult_t}, and says how many. */
    int heuristic(long description, long a, long b, long c, long d, long preference, int wanted,
            MemorySegment results) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment count = call.allocate(JAVA_INT);
            check("cublasLtMatmulAlgoGetHeuristic", (int) getHeuristic.invokeExact(handle, description, a, b, c, d,
                    preference, wanted, results, count));
            return count.get(JAVA_INT, 0);
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulAlgoGetHeuristic", e);
        }
    }

    /** An attribute of 4 bytes of an algorithm. */
    int algorithmAttribute(MemorySegment algorithm, int attribute) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment value = call.allocate(JAVA_INT);
            MemorySegment written = call.allocate(JAVA_LONG);
            check("cublasLtMatmulAlgoConfigGetAttribute", (int) algorithmGet.invokeExact(algorithm, attribute, value,
                    (long) Integer.BYTES, written));
            return value.get(JAVA_INT, 0);
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmulAlgoConfigGetAttribute", e);
        }
    }

    /** Enqueues a product; {@code alpha}, {@code beta} and {@code algorithm} are addresses of the host. */
    void matmul(long description, long alpha, long a, long aLayout, long b, long bLayout, long beta, long c,
            long cLayout, long d, long dLayout, long algorithm, long workspace, long workspaceBytes, long stream) {
        try {
            check("cublasLtMatmul", (int) matmul.invokeExact(handle, description, alpha, a, aLayout, b, bLayout, beta,
                    c, cLayout, d, dLayout, algorithm, workspace, workspaceBytes, stream));
        } catch (Throwable e) {
            throw unexpected("cublasLtMatmul", e);
        }
    }

    /** Gives the handle back. Closing twice is harmless. */
    @Override
    public void close() {
        if (handle != 0) {
            long closing = handle;
            handle = 0;
            destroy("cublasLtDestroy", destroy, closing);
        }
    }

    private static long made(String function, int status, MemorySegment out) {
        check(function, status);
        return out.get(ADDRESS, 0).address();
    }

    private static void destroy(String function, MethodHandle handle, long object) {
        try {
            check(function, (int) handle.invokeExact(object));
        } catch (Throwable e) {
            throw unexpected(function, e);
        }
    }

    private static void check(String function, int status) {
        if (status != CublasStatus.CUBLAS_STATUS_SUCCESS) {
            throw new CublasException(NAME, function, status);
        }
    }

    private static RuntimeException unexpected(String function, Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(function, e);
    }
}
