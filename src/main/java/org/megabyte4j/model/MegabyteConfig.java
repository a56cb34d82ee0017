package org.megabyte4j.model;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * The sizes of a model, under the reference's names in JSON (in brackets below). Reading and writing: {@link ConfigJson}.
 * Ready-made ones: {@link Presets}.
 *
 * @param variant             which of the two models
 * @param vocabularySize      [V] ids, bytes and special ids together
 * @param patchSize           [P] bytes in a patch, at least 1
 * @param globalEmbeddingSize [D_G] width of one byte's embedding in the global model, whose width is P * D_G
 * @param localSize           [D_L] width of the local model
 * @param maxLength           [T_MAX] longest sequence in bytes; null for no limit, where there are no learned positions
 * @param globalLayers        [g_nlayers]
 * @param globalHeads         [g_nheads] a divisor of P * D_G
 * @param localLayers         [l_nlayers]
 * @param localHeads          [l_nheads] a divisor of D_L, unless l_dim_head is given
 * @param initializerRange    [initializer_range] standard deviation of fresh weights
 * @param padId               [pad_id] the id that fills and that no loss is taken on
 * @param eosId               [eos_id] the id that ends a document
 * @param localHeadWidth      [l_dim_head] width of a local head where that is not D_L / l_nheads, else null and left
 *                            out of the JSON. Not the reference's field: its Hugging Face wrapper trains models whose local
 *                            heads do not divide D_L and are rounded down (megabyte-130m: 6 heads of 85 for D_L 512)
 */
public record MegabyteConfig(
        @JsonProperty("variant") Variant variant,
        @JsonProperty("V") int vocabularySize,
        @JsonProperty("P") int patchSize,
        @JsonProperty("D_G") int globalEmbeddingSize,
        @JsonProperty("D_L") int localSize,
        @JsonProperty("T_MAX") Integer maxLength,
        @JsonProperty("g_nlayers") int globalLayers,
        @JsonProperty("g_nheads") int globalHeads,
        @JsonProperty("l_nlayers") int localLayers,
        @JsonProperty("l_nheads") int localHeads,
        @JsonProperty("initializer_range") double initializerRange,
        @JsonProperty("pad_id") int padId,
        @JsonProperty("eos_id") int eosId,
        @JsonProperty("l_dim_head") @JsonInclude(JsonInclude.Include.NON_NULL) Integer localHeadWidth) {

    /**
     * @throws ConfigException if the sizes do not fit together; the message names the field, its value and the way out
     */
    @JsonCreator
    public MegabyteConfig {
        if (variant == null) {
            throw new ConfigException("the configuration names no variant; use \"megabyte\" or \"megabyte_in_action\"");
        }
        atLeastOne("V", vocabularySize);
        atLeastOne("P", patchSize);
        atLeastOne("D_G", globalEmbeddingSize);
        atLeastOne("D_L", localSize);
        atLeastOne("g_nlayers", globalLayers);
        atLeastOne("g_nheads", globalHeads);
        atLeastOne("l_nlayers", localLayers);
        atLeastOne("l_nheads", localHeads);
        long width = (long) patchSize * globalEmbeddingSize;
        if (4 * width > Integer.MAX_VALUE || 4L * localSize > Integer.MAX_VALUE) {
            throw new ConfigException("the global width P * D_G = " + width + " or the local width D_L = " + localSize
                    + " is beyond what a layer can have; use at most " + Integer.MAX_VALUE / 4);
        }
        divides("g_nheads", globalHeads, "the global width P * D_G", width);
        if (localHeadWidth == null) {
            divides("l_nheads", localHeads, "the local width D_L", localSize);
        } else {
            atLeastOne("l_dim_head", localHeadWidth);
            if ((long) localHeads * localHeadWidth > localSize) {
                throw new ConfigException("l_nheads " + localHeads + " heads of l_dim_head " + localHeadWidth
                        + " are wider than the local width D_L = " + localSize + "; use at most "
                        + Math.max(1, localSize / localHeads));
            }
            localHeadWidth = (long) localHeads * localHeadWidth == localSize ? null : localHeadWidth;
        }
        if (maxLength == null) {
            if (variant == Variant.MEGABYTE) {
                throw new ConfigException("T_MAX is null, but the variant megabyte learns a position for each byte and"
                        + " needs it; give T_MAX, or use the variant megabyte_in_action");
            }
        } else if (maxLength < 1 || maxLength % patchSize != 0) {
            throw new ConfigException("T_MAX " + maxLength + " is not a positive multiple of the patch size "
                    + patchSize + "; use " + Math.max(1, (maxLength + (long) patchSize - 1) / patchSize) * patchSize);
        }
        if (!(initializerRange > 0) || Double.isInfinite(initializerRange)) {
            throw new ConfigException("initializer_range " + initializerRange + " is not a positive number; 0.02 is usual");
        }
        idWithin("pad_id", padId, vocabularySize);
        idWithin("eos_id", eosId, vocabularySize);
    }

    /** A model whose local heads divide D_L. */
    public MegabyteConfig(Variant variant, int vocabularySize, int patchSize, int globalEmbeddingSize, int localSize,
            Integer maxLength, int globalLayers, int globalHeads, int localLayers, int localHeads,
            double initializerRange, int padId, int eosId) {
        this(variant, vocabularySize, patchSize, globalEmbeddingSize, localSize, maxLength, globalLayers, globalHeads,
                localLayers, localHeads, initializerRange, padId, eosId, null);
    }

    private static void atLeastOne(String field, int value) {
        if (value < 1) {
            throw new ConfigException(field + " is " + value + ", but must be at least 1");
        }
    }

    private static void divides(String field, int heads, String what, long width) {
        if (width % heads != 0) {
            throw new ConfigException(field + " " + heads + " does not divide " + what + " = " + width
                    + "; use " + nearestDivisor(width, heads));
        }
    }

    private static long nearestDivisor(long width, int wanted) {
        if (wanted > width) {
            return width;
        }
        for (long distance = 1; ; distance++) {
            if (wanted - distance >= 1 && width % (wanted - distance) == 0) {
                return wanted - distance;
            }
            if (width % (wanted + distance) == 0) {
                return wanted + distance;
            }
        }
    }

    private static void idWithin(String field, int id, int vocabularySize) {
        if (id < 0 || id >= vocabularySize) {
            throw new ConfigException(field + " " + id + " is outside the vocabulary of V = " + vocabularySize
                    + " ids; use 0 to " + (vocabularySize - 1));
        }
    }

    /** Width of the global model, P * D_G. */
    @JsonIgnore
    public int globalSize() {
        return patchSize * globalEmbeddingSize;
    }

    /** Width of one head of the global model. */
    @JsonIgnore
    public int globalHeadSize() {
        return globalSize() / globalHeads;
    }

    /** Width of one head of the local model. */
    @JsonIgnore
    public int localHeadSize() {
        return localHeadWidth == null ? localSize / localHeads : localHeadWidth;
    }

    /**
     * Checks a sequence length against this model.
     *
     * @param what   how the user knows the length, such as {@code --seq-len}
     * @param length in bytes
     * @throws ConfigException if it is not a positive multiple of P, or longer than the learned positions
     */
    public void checkLength(String what, long length) {
        checkMultiple(what, length);
        if (variant == Variant.MEGABYTE && length > maxLength) {
            throw new ConfigException(what + " " + length + " is longer than the " + maxLength + " positions (T_MAX) that"
                    + " this model learned; use at most " + maxLength + ", or the variant megabyte_in_action");
        }
    }

    /**
     * Checks that a number of bytes is one of patches.
     *
     * @param what   how the user knows the number, such as {@code --stride}
     * @throws ConfigException if it is not a positive multiple of P
     */
    public void checkMultiple(String what, long bytes) {
        if (bytes < 1 || bytes % patchSize != 0) {
            long up = Math.max(1, Math.ceilDiv(bytes, patchSize)) * patchSize;
            throw new ConfigException(what + " " + bytes + " is not a multiple of the patch size " + patchSize
                    + "; use " + up);
        }
    }

    /** The same model with another variant. */
    public MegabyteConfig withVariant(Variant other) {
        return new MegabyteConfig(other, vocabularySize, patchSize, globalEmbeddingSize, localSize, maxLength,
                globalLayers, globalHeads, localLayers, localHeads, initializerRange, padId, eosId, localHeadWidth);
    }

    /**
     * The same model with patches of another size, its global model as wide as before.
     *
     * @throws ConfigException if the width cannot be divided among so many bytes
     */
    public MegabyteConfig withPatchSize(int other) {
        if (other < 1 || globalSize() % other != 0) {
            throw new ConfigException("a patch of " + other + " bytes does not divide the global width P * D_G = "
                    + globalSize() + "; use " + nearestDivisor(globalSize(), other));
        }
        return new MegabyteConfig(variant, vocabularySize, other, globalSize() / other, localSize, maxLength,
                globalLayers, globalHeads, localLayers, localHeads, initializerRange, padId, eosId, localHeadWidth);
    }

    /** The same model with another T_MAX. */
    public MegabyteConfig withMaxLength(Integer other) {
        return new MegabyteConfig(variant, vocabularySize, patchSize, globalEmbeddingSize, localSize, other,
                globalLayers, globalHeads, localLayers, localHeads, initializerRange, padId, eosId, localHeadWidth);
    }
}
