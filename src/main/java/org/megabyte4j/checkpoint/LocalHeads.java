package org.megabyte4j.checkpoint;

import java.util.Locale;

/**
 * How many heads the local model of a checkpoint of the reference's Hugging Face wrapper has. That wrapper passes
 * {@code l_nlayers} where {@code l_nheads} belongs, so a model that was trained through it has as many local heads as
 * local layers, whatever its {@code config.json} says; one that was trained natively and only saved through it has not.
 */
public enum LocalHeads {
    /** What the shapes of the weights say. */
    AUTO,
    /** {@code l_nheads} of the file. */
    FILE,
    /** {@code l_nlayers} of the file. */
    LAYERS;

    /** The value on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
