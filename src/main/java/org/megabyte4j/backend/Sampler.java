package org.megabyte4j.backend;

import java.util.Arrays;

/**
 * Chooses an id from a row of logits: what {@link Ops#sample} computes, on the host. Not thread-safe.
 *
 * <p>Exact where it can be: top-k keeps k ids even if logits are equal (lower ids first), and the draw goes through the
 * kept ids in ascending order. Every device computes the same, operation for operation: probabilities are
 * {@link #exponential} in double precision, and added up one after the other.
 */
public final class Sampler {
    private final float[] logits;    // [V], after penalty and temperature; -infinity for what cannot be chosen
    private final long[] ranking;    // [V], see rank
    private final double[] weights;  // [V], unnormalised probabilities
    private int fault;

    public Sampler(int vocabularySize) {
        logits = new float[vocabularySize];
        ranking = new long[vocabularySize];
        weights = new double[vocabularySize];
    }

    /**
     * @param row      the model's logits {@code [V]}, left as they are
     * @param allowed  {@code [V]}: 0 for ids that must not be chosen
     * @param seen     bit {@code i % 32} of element {@code i / 32} says whether the sequence holds id i already
     * @param sequence the sequence's number in its request
     * @param position index of the id in the sequence, prompt included
     * @return the id; 0 if there is a {@link #fault}
     */
    public int choose(SamplingSettings settings, float[] row, int[] allowed, int[] seen, int sequence, int position) {
        fault = 0;
        adjust(settings, row, allowed, seen);
        if (fault != 0) {
            return 0;
        }
        int best = largest();
        if (settings.temperature() == 0) {
            return best;
        }
        float max = logits[best];
        for (int i = 0; i < logits.length; i++) {
            // Relative to the largest, so that no temperature is too small to divide by.
            logits[i] = (float) ((logits[i] - max) / settings.temperature());
        }
        if (settings.topK() > 0 && settings.topK() < logits.length || settings.topP() < 1) {
            filter(settings);
        }
        return draw(Philox.uniform(settings.seed(), sequence, position));
    }

    /** What was wrong with the last row, as {@link Ops#sample} says it; 0 for nothing. */
    public int fault() {
        return fault;
    }

    private void adjust(SamplingSettings settings, float[] row, int[] allowed, int[] seen) {
        if (row.length != logits.length) {
            throw new IllegalArgumentException(row.length + " logits for a vocabulary of " + logits.length);
        }
        double penalty = settings.repetitionPenalty();
        boolean any = false;
        for (int i = 0; i < row.length; i++) {
            float logit = row[i];
            if (Float.isNaN(logit) || logit == Float.POSITIVE_INFINITY) {
                fault = Float.isNaN(logit) ? i + 1 : -(i + 1);
                return;
            }
            if (allowed[i] == 0) {
                logit = Float.NEGATIVE_INFINITY;
            } else if (penalty != 1 && (seen[i >> 5] >>> i & 1) != 0) {
                logit = (float) (logit > 0 ? logit / penalty : logit * penalty);
            }
            logits[i] = logit;
            any |= logit != Float.NEGATIVE_INFINITY;
        }
        if (!any) {
            fault = Ops.NOTHING_TO_CHOOSE;
        }
    }

    private int largest() {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    /** Top-k, then top-p over what it kept. */
    private void filter(SamplingSettings settings) {
        for (int i = 0; i < logits.length; i++) {
            ranking[i] = rank(logits[i], i);
        }
        Arrays.sort(ranking);
        int kept = settings.topK() > 0 ? Math.min(settings.topK(), logits.length) : logits.length;
        if (settings.topP() < 1) {
            kept = nucleus(settings.topP(), kept);
        }
        for (int i = 0; i < logits.length - kept; i++) {
            logits[id(ranking[i])] = Float.NEGATIVE_INFINITY;
        }
    }

    /** How many of the best {@code candidates} hold the wanted probability: those with less than it before them. */
    private int nucleus(double topP, int candidates) {
        double total = 0;
        for (int i = 0; i < candidates; i++) {
            total += exponential(logits[id(ranking[ranking.length - 1 - i])]);
        }
        double before = 0;
        int kept = 0;
        while (kept < candidates && before < topP * total) {
            before += exponential(logits[id(ranking[ranking.length - 1 - kept])]);
            kept++;
        }
        return kept;
    }

    /** Sorts by logit ascending, equal logits by id descending. */
    private static long rank(float logit, int id) {
        int bits = Float.floatToIntBits(logit + 0f);   // + 0 makes -0 equal to 0
        int ordered = bits ^ bits >> 31 & Integer.MAX_VALUE;
        return (long) ordered << 32 | Integer.MAX_VALUE - id;
    }

    private static int id(long rank) {
        return Integer.MAX_VALUE - (int) rank;
    }

    private int draw(double uniform) {
        double total = 0;
        for (int i = 0; i < logits.length; i++) {
            weights[i] = exponential(logits[i]);
            total += weights[i];
        }
        double target = uniform * total;
        double sum = 0;
        int last = 0;
        for (int i = 0; i < logits.length; i++) {
            if (weights[i] > 0) {
                sum += weights[i];
                last = i;
                if (target < sum) {
                    break;
                }
            }
        }
        return last;
    }

    private static final double LOG2_E = 0x1.71547652b82fep0;
    private static final double LN2_HIGH = 0x1.62e42fefp-1;          // 32 bits: its product with k is exact
    private static final double LN2_LOW = 0x1.473de6af278edp-34;

    /** {@code 1 / n!} for n = 13 down to 0. */
    private static final double[] TAYLOR = new double[14];

    static {
        double factorial = 1;
        for (int n = 0; n < TAYLOR.length; n++) {
            factorial *= Math.max(1, n);
            TAYLOR[TAYLOR.length - 1 - n] = 1 / factorial;
        }
    }

    /**
     * {@code e^x} for x up to 0, within 2 units in the last place; 0 where it would be below 2^-1021. Made of
     * additions, multiplications and shifts alone, so that it is the same bits on every device.
     */
    static double exponential(double x) {
        if (x < -707) {
            return 0;
        }
        double k = Math.rint(x * LOG2_E);
        double r = x - k * LN2_HIGH - k * LN2_LOW;
        double sum = TAYLOR[0];
        for (int i = 1; i < TAYLOR.length; i++) {
            sum = sum * r + TAYLOR[i];
        }
        return sum * Double.longBitsToDouble((long) k + 1023 << 52);
    }
}
