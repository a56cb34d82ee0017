package org.megabyte4j.data;

/**
 * A random order of 0 to {@code size - 1}, of which any place can be computed on its own: a Feistel network over the
 * smallest even number of bits that holds {@code size}, applied again while the result is not below {@code size} (cycle
 * walking). A Feistel network is a bijection whatever its round function, and walking along its cycles keeps it one; as
 * fewer than three in four numbers lie outside, four applications are enough on average.
 *
 * @see <a href="https://doi.org/10.1007/3-540-45760-7_9">Black, Rogaway 2002, "Ciphers with arbitrary finite
 *      domains"</a>
 */
final class Permutation {
    private static final int ROUNDS = 8;

    private final long size;
    private final long key;
    private final int halfBits;

    /** @param size from 1 to 2^62 */
    Permutation(long size, long key) {
        this.size = size;
        this.key = key;
        int bits = Long.SIZE - Long.numberOfLeadingZeros(size - 1);
        halfBits = Math.max(1, Math.ceilDiv(bits, 2));
    }

    /** The number at a place from 0 to {@code size - 1}. */
    long at(long place) {
        long value = place;
        do {
            value = network(value);
        } while (value >= size);
        return value;
    }

    private long network(long value) {
        long mask = (1L << halfBits) - 1;
        long left = value >>> halfBits;
        long right = value & mask;
        for (int round = 0; round < ROUNDS; round++) {
            long next = left ^ (StatelessRandom.hash(key, round, right) & mask);
            left = right;
            right = next;
        }
        return left << halfBits | right;
    }
}
