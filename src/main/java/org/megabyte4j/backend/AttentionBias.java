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

    /** {@code log(2^-150)}: whatever is smaller has an exponential that float32 rounds to 0. */
    private static final double VANISHING = -150 * Math.log(2);
    /** Norms are sums in float32, and products of bf16 or float32 are summed in any order. */
    private static final double ROUNDING = 1.001;

    /**
     * How many positions back a head looks at most: the probability of any key further away is exactly 0 in float32,
     * so leaving it out changes no bit. Scores lie within {@code +-largestScore}; so does the score of a position with
     * itself, which no bias touches and which the softmax's maximum is at least. A key of distance n is below that
     * maximum by {@code m n - 2 largestScore} or more.
     *
     * @param largestScore the largest norm of a query times that of a key (Cauchy-Schwarz), over the square root of the
     *                     head size
     * @param length       positions in a sequence: what is returned where nothing vanishes, or nothing is known
     */
    public long reach(int head, int heads, double largestScore, long length) {
        double positions = (2 * ROUNDING * largestScore - VANISHING) / slope(head, heads);
        return positions < length ? (long) positions + 1 : length;
    }

    /** Whether a sequence is so long that some head may not look back to its beginning. */
    public boolean vanishesWithin(long length, int heads) {
        return reach(0, heads, 0, length) < length;
    }
}
