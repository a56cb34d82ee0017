package org.megabyte4j.backend;

/**
 * Which earlier byte a position sees: the one {@code distance} before it, counted within blocks of {@code period}
 * positions; where that would leave the block, the padding id.
 *
 * <p>The global model sees ids one patch back, {@code (P, T)}. The local model sees the byte before: within the patch
 * in the paper's variant, {@code (1, P)}; within the sequence in the "in action" one, {@code (1, T)}.
 *
 * @param distance positions back, 0 or more
 * @param period   block length in positions, a divisor of the sequence length
 */
public record ByteShift(long distance, long period) {
    public ByteShift {
        if (distance < 0 || period < 1) {
            throw new IllegalArgumentException("a shift by " + distance + " in blocks of " + period + " is not possible");
        }
    }

    /** The flat index whose id position {@code index} sees, or -1 for the padding id. */
    public long source(long index) {
        return index % period < distance ? -1 : index - distance;
    }
}
