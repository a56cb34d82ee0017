package org.megabyte4j.model;

import com.fasterxml.jackson.annotation.JsonProperty;

/** The two models that share these layers. */
public enum Variant {
    /** The paper's model (Yu et al. 2023, arXiv 2305.07185): learned positions, embedding tables of its own per stack. */
    @JsonProperty("megabyte")
    MEGABYTE("megabyte"),

    /** "MEGABYTE in action": ALiBi instead of positions, one embedding table, the local model sees across patch borders. */
    @JsonProperty("megabyte_in_action")
    IN_ACTION("megabyte_in_action");

    private final String id;

    Variant(String id) {
        this.id = id;
    }

    /** The name in {@code config.json} and on the command line. */
    public String id() {
        return id;
    }

    @Override
    public String toString() {
        return id;
    }
}
