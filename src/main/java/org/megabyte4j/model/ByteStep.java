package org.megabyte4j.model;

import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** The local model over one byte of each sequence, all of them at the same place within their patches. */
public final class ByteStep {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final MegabyteConfig config;
    private final int batch;
    private final Tensor input;       // I32: previous ids [B], rows of the slices [B], past [B]
    private final Tensor previousIds;
    private final Tensor sliceRows;
    private final Tensor past;
    private final Tensor slices;      // [B * P, D_L]
    private final Tensor table;       // [V, D_L]
    private final Tensor x;           // [B, D_L], scratch
    private final CachedStack stack;
    private final Linear head;
    private final Tensor scores;      // [B, V] as the head gives them
    private final Tensor logits;      // F32 [B, V]; the same tensor if that is what the head gives

    /**
     * @param caches of the local layers
     * @param slices what the global model says about each byte of the patch, {@code [B * P, D_L]}
     * @param table  local embeddings of all ids, {@code [V, D_L]}
     */
    ByteStep(GraphBuilder graph, MemoryPlan plan, int batch, AttentionBias bias, List<Tensor> caches, Tensor slices,
            Tensor table) {
        this.config = graph.config();
        this.batch = batch;
        this.slices = slices;
        this.table = table;
        input = plan.tensor(MemoryPlan.Category.INPUTS, "byteInput", DType.I32, 3, batch);
        previousIds = input.part(0, batch);
        sliceRows = input.part(batch, batch);
        past = input.part(2L * batch, batch);
        x = graph.scratch("localInput", batch, config.localSize());
        stack = new CachedStack(graph, "l_transformer", config.localSize(),
                new AttentionShape(batch, 1, config.localHeads(), 1, config.localHeadSize()), bias, caches);
        head = Linear.withBias(graph, "to_logits");
        logits = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "logits", DType.F32, batch, config.vocabularySize());
        scores = graph.dtype() == DType.F32 ? logits : graph.scratch("scores", batch, config.vocabularySize());
    }

    /**
     * Sets the input of the next {@link #forward}.
     *
     * @param previous    {@code [B]}: the id that the local model sees, which is the one before
     * @param byteOfPatch 0 to P - 1; the bytes before it have been through this step already
     */
    public void set(Backend backend, int[] previous, int byteOfPatch) {
        Ids.check(previous, config.vocabularySize());
        int[] values = new int[3 * batch];
        for (int b = 0; b < batch; b++) {
            values[b] = previous[b];
            values[batch + b] = b * config.patchSize() + byteOfPatch;
            values[2 * batch + b] = byteOfPatch;
        }
        backend.write(input, values);
    }

    public void forward(Ops ops) {
        ops.embed(sliceRows, NO_SHIFT, 0, slices, null, null, x);
        ops.embed(previousIds, NO_SHIFT, config.padId(), table, null, x, x);
        head.forward(ops, stack.forward(ops, x, past), null, scores);
        if (scores != logits) {
            ops.copy(scores, logits);
        }
    }

    /** F32 {@code [B, V]}, after {@link #forward}. */
    public Tensor logits() {
        return logits;
    }
}
