package org.megabyte4j.ffi;

import org.megabyte4j.MegabyteException;

/** No candidate of a native library could be opened. The message lists each with the loader's own words. */
public final class MissingLibraryException extends MegabyteException {
    public MissingLibraryException(String message, Throwable cause) {
        super(message, cause);
    }
}
