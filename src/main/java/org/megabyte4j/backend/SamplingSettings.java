package org.megabyte4j.backend;

/**
 * How {@link Ops#sample} chooses an id. It travels in a small I32 tensor, so that a recorded program can be replayed
 * with other settings.
 *
 * @param temperature       divides the logits; 0 takes the largest logit, the lowest id among equals, without a draw
 * @param topK              keeps this many ids of the largest logits; 0 for no limit
 * @param topP              keeps the fewest ids that hold this much probability; 1 for no limit
 * @param repetitionPenalty for ids that were seen, positive logits are divided by it and negative ones multiplied
 * @param seed              of the draws
 */
public record SamplingSettings(double temperature, int topK, double topP, double repetitionPenalty, long seed) {
    /**
     * Elements of the tensor: temperature, topP, repetitionPenalty and seed, each of these 64 bits with the lower half
     * first; topK; a zero.
     */
    public static final int COUNT = 10;

    /** For the tensor. */
    public int[] toInts() {
        int[] words = new int[COUNT];
        put(words, 0, Double.doubleToRawLongBits(temperature));
        put(words, 2, Double.doubleToRawLongBits(topP));
        put(words, 4, Double.doubleToRawLongBits(repetitionPenalty));
        put(words, 6, seed);
        words[8] = topK;
        return words;
    }

    /** From the tensor's elements. */
    public static SamplingSettings of(int[] words) {
        return new SamplingSettings(Double.longBitsToDouble(get(words, 0)), words[8],
                Double.longBitsToDouble(get(words, 2)), Double.longBitsToDouble(get(words, 4)), get(words, 6));
    }

    private static void put(int[] words, int at, long bits) {
        words[at] = (int) bits;
        words[at + 1] = (int) (bits >>> 32);
    }

    private static long get(int[] words, int at) {
        return Integer.toUnsignedLong(words[at]) | (long) words[at + 1] << 32;
    }
}
