package org.megabyte4j;

/**
 * Something the user can act on. The message is a whole sentence that names the thing, the value and the way out; the
 * command line prints it alone, without a stack trace.
 */
public class MegabyteException extends RuntimeException {
    public MegabyteException(String message) {
        super(message);
    }

    public MegabyteException(String message, Throwable cause) {
        super(message, cause);
    }
}
