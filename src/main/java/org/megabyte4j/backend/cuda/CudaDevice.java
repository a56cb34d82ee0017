package org.megabyte4j.backend.cuda;

import java.util.Locale;

/**
 * What the driver says about a GPU.
 *
 * @param ordinal                its number, as in {@code --device cuda:0}
 * @param name                   as NVIDIA sells it
 * @param major                  of its compute capability
 * @param minor                  of its compute capability
 * @param memory                 bytes
 * @param multiprocessors        how many
 * @param sharedBytesPerBlock    shared memory that a block may ask for at most
 */
record CudaDevice(int ordinal, String name, int major, int minor, long memory, int multiprocessors,
        int sharedBytesPerBlock) {
    /** The lowest compute capability that the kernels are compiled for: mma on bf16 and asynchronous copies. */
    static final int LEAST_MAJOR = 8;

    /** What a user wants to know of it. */
    String description() {
        return String.format(Locale.ROOT, "%s, compute capability %s, %.1f GiB, %d multiprocessors", name, capability(),
                memory / (double) (1L << 30), multiprocessors);
    }

    String capability() {
        return major + "." + minor;
    }
}
