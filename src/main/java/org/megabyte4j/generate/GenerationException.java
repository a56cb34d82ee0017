package org.megabyte4j.generate;

import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Ops;

/** A request that cannot be generated, or a model that gives no usable logits. */
public class GenerationException extends MegabyteException {
    public GenerationException(String message) {
        super(message);
    }

    /**
     * Logits from which nothing can be chosen.
     *
     * @param fault as {@link Ops#sample} says it
     */
    static GenerationException of(int fault, int sequence, int position) {
        String what = fault == Ops.NOTHING_TO_CHOOSE ? "every id that may be chosen the logit -Infinity"
                : fault > 0 ? "the logit NaN for id " + (fault - 1) : "the logit Infinity for id " + (-fault - 1);
        return new GenerationException("the model gives " + what + " at position " + position + " of sequence "
                + sequence + "; its weights are damaged or its training diverged");
    }
}
