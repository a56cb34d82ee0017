package org.megabyte4j.backend;

import org.megabyte4j.MegabyteException;

/** A plan that does not fit the device. The message says what is needed, what is free, and what would help. */
public class OutOfMemoryException extends MegabyteException {
    public OutOfMemoryException(String message) {
        super(message);
    }
}
