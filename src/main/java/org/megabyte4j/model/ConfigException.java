package org.megabyte4j.model;

import org.megabyte4j.MegabyteException;

/** A configuration that describes no model. */
public class ConfigException extends MegabyteException {
    public ConfigException(String message) {
        super(message);
    }

    public ConfigException(String message, Throwable cause) {
        super(message, cause);
    }
}
