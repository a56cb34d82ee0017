package org.megabyte4j.generate;

import java.util.Arrays;
import java.util.BitSet;

/**
 * Chooses an id from a row of logits, as {@link SamplingOptions} say. Computes on the host; not thread-safe.
 *
 * <p>Exact where it can be: top-k keeps k ids even if logits are equal (lower ids first), and the draw goes through the
 * kept ids in ascending order.
 */
public final class Sampler {
    private static final int BYTES = 256;

    private final SamplingOptions options;
    private final int eosId;
    private final float[] logits;    // [V], after penalty and temperature; -infinity for what cannot be chosen
    private final long[] ranking;    // [V], see rank
    private final double[] weights;  // [V], unnormalised probabilities

    /**
     * @param vocabularySize V
     * @param eosId          stays possible where the options allow bytes only
     */
    public Sampler(SamplingOptions options, int vocabularySize, int eosId) {
        this.options = options;
        this.eosId = eosId;
        logits = new float[vocabularySize];
        ranking = new long[vocabularySize];
        weights = new double[vocabularySize];
    }

    /**
     * @param row      the model's logits {@code [V]}, left as they are
     * @param seen     ids that the sequence holds already
     * @param sequence the sequence's number in its request
     * @param position index of the id in the sequence, prompt included
     * @throws GenerationException if a logit is not a number or positive infinity
     */
    public int choose(float[] row, BitSet seen, long sequence, long position) {
        adjust(row, seen, sequence, position);
        int best = largest();
        if (options.temperature() == 0) {
            return best;
        }
        float max = logits[best];
        for (int i = 0; i < logits.length; i++) {
            // Relative to the largest, so that no temperature is too small to divide by.
            logits[i] = (float) ((logits[i] - max) / options.temperature());
        }
        if (options.topK() > 0 && options.topK() < logits.length || options.topP() < 1) {
            filter();
        }
        return draw(Philox.uniform(options.seed(), sequence, position));
    }

    private void adjust(float[] row, BitSet seen, long sequence, long position) {
        if (row.length != logits.length) {
            throw new IllegalArgumentException(row.length + " logits for a vocabulary of " + logits.length);
        }
        boolean any = false;
        for (int i = 0; i < row.length; i++) {
            float logit = row[i];
            if (Float.isNaN(logit) || logit == Float.POSITIVE_INFINITY) {
                throw new GenerationException("the model gives the logit " + logit + " for id " + i + " at position "
                        + position + " of sequence " + sequence + "; its weights are damaged or its training diverged");
            }
            if (options.bytesOnly() && i >= BYTES && i != eosId) {
                logit = Float.NEGATIVE_INFINITY;
            } else if (options.repetitionPenalty() != 1 && seen.get(i)) {
                logit = (float) (logit > 0 ? logit / options.repetitionPenalty() : logit * options.repetitionPenalty());
            }
            logits[i] = logit;
            any |= logit != Float.NEGATIVE_INFINITY;
        }
        if (!any) {
            throw new GenerationException("the model gives every id that may be chosen the logit -Infinity at position "
                    + position + " of sequence " + sequence + "; its weights are damaged or its training diverged");
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
    private void filter() {
        for (int i = 0; i < logits.length; i++) {
            ranking[i] = rank(logits[i], i);
        }
        Arrays.sort(ranking);
        int kept = options.topK() > 0 ? Math.min(options.topK(), logits.length) : logits.length;
        if (options.topP() < 1) {
            kept = nucleus(kept);
        }
        for (int i = 0; i < logits.length - kept; i++) {
            logits[id(ranking[i])] = Float.NEGATIVE_INFINITY;
        }
    }

    /** How many of the best {@code candidates} hold the wanted probability: those with less than it before them. */
    private int nucleus(int candidates) {
        double total = 0;
        for (int i = 0; i < candidates; i++) {
            total += Math.exp(logits[id(ranking[ranking.length - 1 - i])]);
        }
        double before = 0;
        int kept = 0;
        while (kept < candidates && before < options.topP() * total) {
            before += Math.exp(logits[id(ranking[ranking.length - 1 - kept])]);
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
            weights[i] = Math.exp(logits[i]);
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
}
