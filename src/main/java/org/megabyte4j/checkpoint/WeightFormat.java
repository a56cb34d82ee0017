package org.megabyte4j.checkpoint;

import java.util.Locale;

/** The formats that weights are kept in. */
public enum WeightFormat {
    SAFETENSORS(ModelFile.SAFETENSORS), PYTORCH(ModelFile.PYTORCH);

    private final String fileName;

    WeightFormat(String fileName) {
        this.fileName = fileName;
    }

    /** The usual name of a file of this format in a model's folder. */
    public String fileName() {
        return fileName;
    }

    /** The value on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
