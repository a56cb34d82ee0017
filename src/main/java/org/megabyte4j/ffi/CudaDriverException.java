package org.megabyte4j.ffi;

import org.megabyte4j.MegabyteException;

/** A function of NVIDIA's driver failed that is not called through JCuda. */
public final class CudaDriverException extends MegabyteException {
    private final int code;

    CudaDriverException(String function, int code, String name) {
        super("CUDA's " + function + " failed with code " + code + ", " + name);
        this.code = code;
    }

    /** What it returned. */
    public int code() {
        return code;
    }
}
