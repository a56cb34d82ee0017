package org.megabyte4j.generate;

/**
 * What the model said about one generated id, before any sampling option.
 *
 * @param logProbability of the chosen id, nats
 * @param topLogit       the largest logit
 * @param lead           the largest logit less the second largest; infinite if V is 1
 */
public record Score(double logProbability, float topLogit, float lead) {

    /** @param logits {@code [V]} */
    static Score of(float[] logits, int chosen) {
        float top = Float.NEGATIVE_INFINITY;
        float second = Float.NEGATIVE_INFINITY;
        for (float logit : logits) {
            if (logit > top) {
                second = top;
                top = logit;
            } else if (logit > second) {
                second = logit;
            }
        }
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp((double) logit - top);
        }
        return new Score((double) logits[chosen] - top - Math.log(sum), top, top - second);
    }
}
