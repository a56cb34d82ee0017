package org.megabyte4j.ffi;

/** {@code cublasStatus_t} of cublas_api.h, the same in CUDA 12 and 13. */
public final class CublasStatus {
    public static final int CUBLAS_STATUS_SUCCESS = 0;
    public static final int CUBLAS_STATUS_NOT_INITIALIZED = 1;
    public static final int CUBLAS_STATUS_ALLOC_FAILED = 3;
    public static final int CUBLAS_STATUS_INVALID_VALUE = 7;
    public static final int CUBLAS_STATUS_ARCH_MISMATCH = 8;
    public static final int CUBLAS_STATUS_MAPPING_ERROR = 11;
    public static final int CUBLAS_STATUS_EXECUTION_FAILED = 13;
    public static final int CUBLAS_STATUS_INTERNAL_ERROR = 14;
    public static final int CUBLAS_STATUS_NOT_SUPPORTED = 15;
    public static final int CUBLAS_STATUS_LICENSE_ERROR = 16;

    private CublasStatus() {
    }

    /** The code's name in the header. */
    static String name(int code) {
        return switch (code) {
            case CUBLAS_STATUS_SUCCESS -> "CUBLAS_STATUS_SUCCESS";
            case CUBLAS_STATUS_NOT_INITIALIZED -> "CUBLAS_STATUS_NOT_INITIALIZED";
            case CUBLAS_STATUS_ALLOC_FAILED -> "CUBLAS_STATUS_ALLOC_FAILED";
            case CUBLAS_STATUS_INVALID_VALUE -> "CUBLAS_STATUS_INVALID_VALUE";
            case CUBLAS_STATUS_ARCH_MISMATCH -> "CUBLAS_STATUS_ARCH_MISMATCH";
            case CUBLAS_STATUS_MAPPING_ERROR -> "CUBLAS_STATUS_MAPPING_ERROR";
            case CUBLAS_STATUS_EXECUTION_FAILED -> "CUBLAS_STATUS_EXECUTION_FAILED";
            case CUBLAS_STATUS_INTERNAL_ERROR -> "CUBLAS_STATUS_INTERNAL_ERROR";
            case CUBLAS_STATUS_NOT_SUPPORTED -> "CUBLAS_STATUS_NOT_SUPPORTED";
            case CUBLAS_STATUS_LICENSE_ERROR -> "CUBLAS_STATUS_LICENSE_ERROR";
            default -> "a code that the header does not know";
        };
    }

    /** What a code means and what to do, as the end of a sentence. */
    static String advice(int code) {
        return switch (code) {
            case CUBLAS_STATUS_NOT_INITIALIZED -> "the library does not start on this GPU; its version may be newer"
                    + " than the driver, so update the driver or install the version that fits it";
            case CUBLAS_STATUS_ALLOC_FAILED -> "the GPU has no memory left for the library; use a smaller --batch or"
                    + " --seq-len, or end what else uses the GPU";
            case CUBLAS_STATUS_ARCH_MISMATCH -> "the library has no code for this GPU; install a newer version of it";
            case CUBLAS_STATUS_MAPPING_ERROR, CUBLAS_STATUS_EXECUTION_FAILED -> "the product could not be launched,"
                    + " as after a fault of an earlier kernel; start again, from the last checkpoint if there is one";
            case CUBLAS_STATUS_LICENSE_ERROR -> "the library finds no licence for what was asked";
            case CUBLAS_STATUS_NOT_SUPPORTED -> "the library does not offer this product; try another provider with"
                    + " --blas, and report this as a bug";
            default -> "this should not happen; report it as a bug, with the version of the library";
        };
    }
}
