package org.megabyte4j.data;

import org.megabyte4j.MegabyteException;

/** Data that cannot be used; the message names the path, what is wrong with it and the way out. */
public class DataException extends MegabyteException {
    public DataException(String message) {
        super(message);
    }

    public DataException(String message, Throwable cause) {
        super(message, cause);
    }
}
