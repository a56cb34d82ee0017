package org.megabyte4j.train;

import org.megabyte4j.MegabyteException;

/** Training that cannot start, continue or go on. */
public class TrainException extends MegabyteException {
    public TrainException(String message) {
        super(message);
    }

    public TrainException(String message, Throwable cause) {
        super(message, cause);
    }
}
