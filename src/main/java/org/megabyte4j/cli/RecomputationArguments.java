package org.megabyte4j.cli;

import static org.megabyte4j.cli.OptimizerArguments.or;

import org.megabyte4j.model.ConfigException;
import org.megabyte4j.model.Recomputation;
import picocli.CommandLine.Option;

/** What a step keeps of its activations: memory or time. */
final class RecomputationArguments {
    @Option(names = "--recompute", paramLabel = "WHAT", description = "Save memory: ${COMPLETION-CANDIDATES}; default"
            + " none. With local, the local model goes through the sequence in chunks, at no cost. With global, layers"
            + " of the global model keep their inputs and are computed again in backward, at a third more work.")
    private Recomputation.Stacks stacks;

    @Option(names = "--keep-attention", arity = "0..1", fallbackValue = "true", paramLabel = "true|false",
            description = "Recomputed global layers keep the attention's result too: twice the memory, and hardly more"
                    + " work for long sequences, where attention is nearly all of it; default false.")
    private Boolean keepAttention;

    @Option(names = "--chunk", paramLabel = "PATCHES", description = "Patches in a chunk; default as many as make "
            + Recomputation.CHUNK_BYTES + " bytes.")
    private Integer chunk;

    /**
     * @param stored what holds where nothing is said
     * @throws ConfigException if they do not go together
     */
    Recomputation options(Recomputation stored) {
        Recomputation.Stacks wanted = or(stacks, stored.stacks());
        if (wanted == Recomputation.Stacks.NONE && chunk != null && chunk > 0) {
            throw new ConfigException("--chunk " + chunk + " is for a step that is not kept; add --recompute local,"
                    + " global or all, or leave it out");
        }
        return new Recomputation(wanted, or(keepAttention, stored.keepAttention() && wanted.includesGlobal()),
                or(chunk, stored.chunk()));
    }
}
