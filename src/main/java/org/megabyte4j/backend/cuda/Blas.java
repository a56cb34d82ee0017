package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.Locale;
import org.megabyte4j.ffi.CublasException;
import org.megabyte4j.ffi.CublasLt;
import org.megabyte4j.ffi.MissingLibraryException;

/** Which library computes the matrix products of a GPU. */
public enum Blas {
    /** cuBLASLt where it loads, or else JCublas. */
    AUTO,
    /** cuBLASLt of CUDA 12 or 13. */
    CUBLASLT,
    /** cuBLAS of CUDA 12 through JCublas. */
    JCUBLAS;

    /** The names as they are given to {@code --blas}. */
    public static final List<String> NAMES = List.of("auto", "cublaslt", "jcublas");

    /** @param name one of {@link #NAMES}, in whatever case */
    public static Blas of(String name) {
        return valueOf(name.toUpperCase(Locale.ROOT));
    }

    /**
     * A library that was opened, and why it is this one.
     *
     * @param notOther the reasons against the one that {@link #AUTO} would have preferred; empty if there are none
     */
    record Opened(Gemm gemm, String notOther) {
        /** For {@code info}: {@code cuBLAS 12.6.4 through JCublas (cuBLASLt cannot be loaded; ...)}. */
        String description() {
            return gemm.description() + (notOther.isEmpty() ? "" : " (" + notOther + ")");
        }
    }

    /** Opens it for a context, which closes it. */
    Opened open(CudaContext context, CudaKernels kernels) {
        context.use();
        return switch (this) {
            case CUBLASLT -> new Opened(context.hold(cublasLt(context, kernels.tuning())), "");
            case JCUBLAS -> new Opened(context.hold(JCublasGemm.open(context, kernels)), "");
            case AUTO -> either(context, kernels);
        };
    }

    private static Opened either(CudaContext context, CudaKernels kernels) {
        String first;
        try {
            return CUBLASLT.open(context, kernels);
        } catch (MissingLibraryException e) {
            first = e.getMessage();
        }
        try {
            return new Opened(JCUBLAS.open(context, kernels).gemm(), first);
        } catch (MissingLibraryException | CublasException e) {
            throw new MissingLibraryException("no library for matrix products works here: " + first + ". "
                    + e.getMessage(), e);
        }
    }

    private static Gemm cublasLt(CudaContext context, Tuning tuning) {
        CublasLt library = CublasLt.open();
        if (tuning == Tuning.OFF) {
            return new CublasLtGemm(context, library, AlgorithmChoice.first());
        }
        String machine = context.machine() + ", cuBLASLt " + CublasLtGemm.version(library.version());
        return new CublasLtGemm(context, library, AlgorithmChoice.measured(new DeviceTimer(context),
                new TuningCache(TuningCache.usualFile(), machine, tuning == Tuning.AGAIN)));
    }
}
