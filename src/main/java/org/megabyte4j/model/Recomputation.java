package org.megabyte4j.model;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.Locale;
import org.megabyte4j.model.GraphBuilder.Keep;

/**
 * What a training step computes again, or a chunk at a time, so as not to keep it (Chen et al. 2016, arXiv 1604.06174).
 * It decides about memory and time; the results differ in the order of sums at most.
 *
 * @param stacks        whose activations are not kept
 * @param keepAttention whether the recomputed global layers keep the attention's result, which takes as much memory as
 *                      a layer's input and saves computing the attention again: nearly all the work of a long sequence
 * @param chunk         patches that go through the local model, or through a feed-forward whose rows are not kept, at
 *                      once; null for about {@link #CHUNK_BYTES} bytes
 */
public record Recomputation(
        @JsonProperty("stacks") Stacks stacks,
        @JsonProperty("keep_attention") boolean keepAttention,
        @JsonProperty("chunk") Integer chunk) {

    /** Bytes in a chunk where nothing is said: enough rows for any device to be busy. */
    public static final int CHUNK_BYTES = 1 << 15;

    /** Everything is kept. */
    public static final Recomputation NONE = new Recomputation(Stacks.NONE, false, null);

    /** Which of the model's two stacks. */
    public enum Stacks {
        /** Neither: all activations are kept. */
        NONE(false, false),
        /** The local model goes forward and backward a chunk of patches at a time, which costs no work. */
        LOCAL(true, false),
        /** Global layers keep their inputs and go forward again in backward. */
        GLOBAL(false, true),
        /** Both. */
        ALL(true, true);

        private final boolean local;
        private final boolean global;

        Stacks(boolean local, boolean global) {
            this.local = local;
            this.global = global;
        }

        /** Whether global layers are computed again. */
        public boolean includesGlobal() {
            return global;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** @throws ConfigException if a choice is not possible */
    @JsonCreator
    public Recomputation {
        if (keepAttention && !stacks.global) {
            throw new ConfigException("--keep-attention is for global layers that are computed again; add --recompute"
                    + " global or --recompute all, or leave it out");
        }
        if (chunk != null && chunk < 1) {
            throw new ConfigException("--chunk " + chunk + " is not possible; use at least 1");
        }
    }

    /** Patches that go through the local model at once. */
    long localPatches(MegabyteConfig config) {
        return stacks.local ? patches(config) : Long.MAX_VALUE;
    }

    /** For the global layers; those of a graph that only runs forward keep nothing anyway. */
    GraphBuilder global(GraphBuilder graph) {
        if (!stacks.global) {
            return graph;
        }
        Keep keep = !graph.runsBackward() ? Keep.NOTHING : keepAttention ? Keep.ATTENTION : Keep.RESULTS;
        return graph.keeping(keep, patches(graph.config()));
    }

    private long patches(MegabyteConfig config) {
        return chunk != null ? chunk : Math.max(1, CHUNK_BYTES / config.patchSize());
    }
}
