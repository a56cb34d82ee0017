package org.megabyte4j.backend.cuda;

import org.megabyte4j.MegabyteException;

/** There is no GPU here that megabyte4j can use; the message says why and what would help. */
public final class CudaUnavailableException extends MegabyteException {
    public CudaUnavailableException(String message) {
        super(message);
    }

    public CudaUnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
