package org.megabyte4j.checkpoint;

import org.megabyte4j.MegabyteException;

/** A file of tensors that cannot be read or written; the message names the file, the tensor and the value. */
public class CheckpointException extends MegabyteException {
    public CheckpointException(String message) {
        super(message);
    }

    public CheckpointException(String message, Throwable cause) {
        super(message, cause);
    }
}
