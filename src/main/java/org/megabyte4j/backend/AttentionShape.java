package org.megabyte4j.backend;

import org.megabyte4j.tensor.ShapeException;

/**
 * The sizes of a causal attention. Queries, keys and values of a position lie in one row of
 * {@code (heads + 2 * keyValueHeads) * headSize} elements: the query heads, then the key heads, then the value heads.
 * With one key/value head (Shazeer 2019, arXiv 1911.02150) all query heads share it; otherwise consecutive groups of
 * {@code heads / keyValueHeads} query heads share one.
 *
 * @param batch         independent sequences
 * @param length        positions (patches, or bytes of a patch) in each
 * @param heads         query heads
 * @param keyValueHeads key/value heads, a divisor of {@code heads}
 * @param headSize      elements of one head
 */
public record AttentionShape(long batch, long length, int heads, int keyValueHeads, int headSize) {
    public AttentionShape {
        if (batch < 1 || length < 1 || heads < 1 || keyValueHeads < 1 || headSize < 1 || heads % keyValueHeads != 0) {
            throw new ShapeException("attention over batch " + batch + ", length " + length + ", " + heads + " heads, "
                    + keyValueHeads + " key/value heads of size " + headSize + " is not possible; sizes must be at least"
                    + " 1 and the key/value heads divide the heads");
        }
    }

    /** Rows of all sequences together. */
    public long rows() {
        return batch * length;
    }

    /** Row length of the packed queries, keys and values. */
    public int packedWidth() {
        return (heads + 2 * keyValueHeads) * headSize;
    }

    /** Row length of the result. */
    public int width() {
        return heads * headSize;
    }

    /** Row length of keys and values alone: what a cache keeps of a position. */
    public int keyValueWidth() {
        return 2 * keyValueHeads * headSize;
    }
}
