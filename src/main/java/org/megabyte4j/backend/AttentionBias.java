package org.megabyte4j.backend;

/** What is added to the scaled scores before the softmax. */
public enum AttentionBias {
    NONE,
    /**
     * {@code -m * (i - j)} for query position i and key position j, with {@code m = 2^(-8 h / heads)} for head
     * h = 1..heads (Press et al. 2022, arXiv 2108.12409). The reference adds {@code m * j}; a causal softmax does not
     * see the difference, and this form keeps its precision at long distances.
     */
    ALIBI;

    /** The slope m of head {@code head}, counted from 0; 0 without a bias. */
    public float slope(int head, int heads) {
        return this == NONE ? 0f : (float) Math.pow(2, -8.0 * (head + 1) / heads);
    }
}
