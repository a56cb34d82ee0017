package org.megabyte4j.tensor;

/**
 * One block of a device's memory, made by a backend, zero-filled. Whoever allocated it closes it; a closed block must
 * not be touched. Only the backend that made it can look inside.
 */
public interface Memory extends AutoCloseable {
    long bytes();

    @Override
    void close();
}
