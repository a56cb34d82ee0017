package org.megabyte4j.backend.cuda;

import org.megabyte4j.MegabyteException;

/** A function of a CUDA library failed. */
public class CudaException extends MegabyteException {
    private final String function;
    private final int code;

    /**
     * @param function the C function
     * @param code     what it returned
     * @param name     the code's name in the header
     * @param advice   what it means and what to do, as the end of a sentence; empty for nothing
     */
    public CudaException(String function, int code, String name, String advice) {
        super("CUDA's " + function + " failed with code " + code + ", " + name
                + (advice.isEmpty() ? "" : ": " + advice));
        this.function = function;
        this.code = code;
    }

    /** The C function that failed. */
    public String function() {
        return function;
    }

    /** What it returned. */
    public int code() {
        return code;
    }
}
