package org.megabyte4j.ffi;

import org.megabyte4j.MegabyteException;

/** A function of cuBLAS or cuBLASLt failed. */
public final class CublasException extends MegabyteException {
    private final String function;
    private final int code;

    /**
     * @param library  what the library is called in messages
     * @param function the C function
     * @param code     what it returned
     */
    public CublasException(String library, String function, int code) {
        super(library + "'s " + function + " failed with code " + code + ", " + CublasStatus.name(code) + ": "
                + CublasStatus.advice(code));
        this.function = function;
        this.code = code;
    }

    /** The C function that failed. */
    public String function() {
        return function;
    }

    /** What it returned, one of {@code cublasStatus_t}. */
    public int code() {
        return code;
    }
}
