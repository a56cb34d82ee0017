package org.megabyte4j.data;

/**
 * Random numbers as a pure function of a seed and two counters, by the finaliser of SplitMix64.
 *
 * @see <a href="https://doi.org/10.1145/2714064.2660195">Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
 *      generators"</a>
 */
final class StatelessRandom {
    private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

    private StatelessRandom() {
    }

    static long mix(long z) {
        long a = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        long b = (a ^ (a >>> 27)) * 0x94D049BB133111EBL;
        return b ^ (b >>> 31);
    }

    /** 64 random bits. */
    static long hash(long seed, long first, long second) {
        return mix(mix(mix(seed + GOLDEN_GAMMA) + (first + 1) * GOLDEN_GAMMA) + (second + 1) * GOLDEN_GAMMA);
    }

    /** A number from 0 to {@code bound - 1}; no two are more than one part in 2^64 / bound apart in probability. */
    static long below(long bound, long seed, long first, long second) {
        return Math.unsignedMultiplyHigh(hash(seed, first, second), bound);
    }
}
