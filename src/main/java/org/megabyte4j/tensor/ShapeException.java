package org.megabyte4j.tensor;

import org.megabyte4j.MegabyteException;

/** Shapes that do not fit together; the message names both. */
public class ShapeException extends MegabyteException {
    public ShapeException(String message) {
        super(message);
    }
}
