package org.megabyte4j.generate;

import org.megabyte4j.MegabyteException;

/** A request that cannot be generated, or a model that gives no usable logits. */
public class GenerationException extends MegabyteException {
    public GenerationException(String message) {
        super(message);
    }
}
