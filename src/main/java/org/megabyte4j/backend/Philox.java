package org.megabyte4j.backend;

/**
 * Philox4x32-10: random numbers as a pure function of a key and a counter, so that nothing has to be remembered between
 * draws and a draw does not depend on what else is generated beside it.
 *
 * @see <a href="https://doi.org/10.1145/2063384.2063405">Salmon et al. 2011</a>
 */
final class Philox {
    private static final int ROUNDS = 10;
    private static final int MULTIPLIER_0 = 0xD2511F53;
    private static final int MULTIPLIER_1 = 0xCD9E8D57;
    private static final int WEYL_0 = 0x9E3779B9;
    private static final int WEYL_1 = 0xBB67AE85;

    private Philox() {
    }

    /** The block of four 32-bit words of a counter under a key. */
    static int[] block(int key0, int key1, int counter0, int counter1, int counter2, int counter3) {
        int k0 = key0;
        int k1 = key1;
        int c0 = counter0;
        int c1 = counter1;
        int c2 = counter2;
        int c3 = counter3;
        for (int round = 0; round < ROUNDS; round++) {
            long product0 = Integer.toUnsignedLong(MULTIPLIER_0) * Integer.toUnsignedLong(c0);
            long product1 = Integer.toUnsignedLong(MULTIPLIER_1) * Integer.toUnsignedLong(c2);
            c0 = (int) (product1 >>> 32) ^ c1 ^ k0;
            c1 = (int) product1;
            c2 = (int) (product0 >>> 32) ^ c3 ^ k1;
            c3 = (int) product0;
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        return new int[] {c0, c1, c2, c3};
    }

    /** A uniform number in [0, 1) with 53 random bits, for one place of one sequence. */
    static double uniform(long seed, long sequence, long position) {
        int[] words = block((int) seed, (int) (seed >>> 32), (int) position, (int) (position >>> 32), (int) sequence,
                (int) (sequence >>> 32));
        long bits = (Integer.toUnsignedLong(words[0]) << 32 | Integer.toUnsignedLong(words[1])) >>> 11;
        return bits * 0x1.0p-53;
    }
}
