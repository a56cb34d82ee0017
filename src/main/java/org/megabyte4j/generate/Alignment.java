package org.megabyte4j.generate;

/** Where the patch borders of a growing text lie. */
public enum Alignment {
    /** As in training, at multiples of the patch size from the start of the text (the paper's). */
    ALIGNED,

    /**
     * As the reference's own generate does: the text is padded on the left so that the next byte is the last of a
     * patch. Borders move with every byte, so everything is computed again for each byte.
     */
    REFERENCE;

    /** The name on the command line and in golden files. */
    public String id() {
        return this == ALIGNED ? "aligned" : "reference";
    }

    @Override
    public String toString() {
        return id();
    }
}
