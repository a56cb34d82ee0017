package org.megabyte4j.model;

import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The global model over a few new patches of each sequence. Which sequence stands where is data, not program: the same
 * step serves sequences of different lengths, and running it twice on the same input changes nothing.
 */
public final class PatchStep {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final MegabyteConfig config;
    private final int batch;
    private final int patches;
    private final Tensor input;          // I32: ids [B * n * P], positions [B * n * P], past [B]
    private final Tensor ids;
    private final Tensor positions;
    private final Tensor past;
    private final Tensor table;          // [V, D_G]
    private final Tensor positionTable;  // [T_MAX, D_G] or null
    private final Tensor embedded;       // [B * n * P, D_G], scratch
    private final CachedStack stack;
    private final Linear globalToLocal;
    private final Tensor slices;         // [B * P, D_L] or null

    /**
     * @param patches new patches of each sequence
     * @param caches  of the global layers
     * @param slices  {@code [B * P, D_L]}: gets what the global model tells the local one, for one patch; null where
     *                only the caches are wanted
     */
    PatchStep(GraphBuilder graph, MemoryPlan plan, int batch, int patches, AttentionBias bias, List<Tensor> caches,
            Tensor slices) {
        this.config = graph.config();
        this.batch = batch;
        this.patches = patches;
        this.slices = slices;
        int bytes = batch * patches * config.patchSize();
        input = plan.tensor(MemoryPlan.Category.INPUTS, "patchInput", DType.I32, 2L * bytes + batch);
        ids = input.part(0, bytes);
        positions = input.part(bytes, bytes);
        past = input.part(2L * bytes, batch);
        boolean learned = config.variant() == Variant.MEGABYTE;
        table = graph.weight(learned ? "g_embedder.weight" : "to_embed.weight");
        positionTable = learned ? graph.weight("g_pos_embedder.weight") : null;
        embedded = graph.scratch("globalInput", bytes, config.globalEmbeddingSize());
        stack = new CachedStack(graph, "g_transformer", config.globalSize(),
                new AttentionShape(batch, patches, config.globalHeads(), 1, config.globalHeadSize()), bias, caches);
        globalToLocal = slices == null ? null : Linear.withBias(graph, "gl_linear.1");
    }

    /** New patches of each sequence. */
    public int patches() {
        return patches;
    }

    /**
     * Sets the input of the next {@link #forward}.
     *
     * @param earlier {@code [B * n * P]}: for each new patch the ids of the patch before it, padding before the first
     * @param past    {@code [B]}: patches in each sequence's cache, which is the index of its first new patch
     */
    public void set(Backend backend, int[] earlier, int[] past) {
        Ids.check(earlier, config.vocabularySize());
        int bytesEach = patches * config.patchSize();
        int bytes = batch * bytesEach;
        int[] values = new int[2 * bytes + batch];
        System.arraycopy(earlier, 0, values, 0, bytes);
        System.arraycopy(past, 0, values, 2 * bytes, batch);
        if (positionTable != null) {
            // New patches beyond the last position only fill up a block of patches; nothing looks at them.
            int last = config.maxLength() - 1;
            for (int i = 0; i < bytes; i++) {
                values[bytes + i] = Math.min(past[i / bytesEach] * config.patchSize() + i % bytesEach, last);
            }
        }
        backend.write(input, values);
    }

    /** What {@link #set} writes for one patch of each sequence, with what the choice of its ids takes. */
    PatchInput input(SampleStep sampling) {
        return sampling.patchInput(ids, positions, past);
    }

    public void forward(Ops ops) {
        ops.embed(ids, NO_SHIFT, config.padId(), table, null, null, embedded);
        if (positionTable != null) {
            ops.embed(positions, NO_SHIFT, 0, positionTable, null, embedded, embedded);
        }
        Tensor out = stack.forward(ops, embedded.view((long) batch * patches, config.globalSize()), past);
        if (slices != null) {
            globalToLocal.forward(ops, out.view((long) batch * config.patchSize(), config.globalEmbeddingSize()), null,
                    slices);
        }
    }
}
