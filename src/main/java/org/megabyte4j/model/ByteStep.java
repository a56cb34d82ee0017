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
final class ByteStep {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final MegabyteConfig config;
    private final int batch;
    private final Tensor places;      // I32 [2, P, B], the same always: rows of the slices, bytes before it
    private final Tensor slices;      // [B * P, D_L]
    private final Tensor table;       // [V, D_L]
    private final Tensor x;           // [B, D_L], scratch
    private final CachedStack stack;
    private final Linear head;
    private final Tensor scores;      // [B, V] as the head gives them; null if that is F32
    private final Tensor logits;      // F32 [P, B, V]

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
        places = plan.tensor(MemoryPlan.Category.INPUTS, "bytePlaces", DType.I32, 2, config.patchSize(), batch);
        x = graph.scratch("localInput", batch, config.localSize());
        stack = new CachedStack(graph, "l_transformer", config.localSize(),
                new AttentionShape(batch, 1, config.localHeads(), 1, config.localHeadSize()), bias, caches);
        head = Linear.withBias(graph, "to_logits");
        scores = graph.dtype() == DType.F32 ? null : graph.scratch("scores", batch, config.vocabularySize());
        logits = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "logits", DType.F32, config.patchSize(), batch,
                config.vocabularySize());
    }

    /** Writes what never changes; before the first {@link #forward}. */
    void prepare(Backend backend) {
        int patchSize = config.patchSize();
        int[] values = new int[2 * patchSize * batch];
        for (int i = 0; i < patchSize; i++) {
            for (int b = 0; b < batch; b++) {
                values[i * batch + b] = b * patchSize + i;
                values[(patchSize + i) * batch + b] = i;
            }
        }
        backend.write(places, values);
    }

    /**
     * @param byteOfPatch 0 to P - 1; the bytes before it have been through this step already
     * @param previous    I32 {@code [B]}: the id that the local model sees, which is the one before
     */
    void forward(Ops ops, int byteOfPatch, Tensor previous) {
        Tensor sliceRows = places.part((long) batch * byteOfPatch, batch);
        Tensor past = places.part((long) batch * (config.patchSize() + byteOfPatch), batch);
        ops.embed(sliceRows, NO_SHIFT, 0, slices, null, null, x);
        ops.embed(previous, NO_SHIFT, config.padId(), table, null, x, x);
        Tensor out = stack.forward(ops, x, past);
        if (scores == null) {
            head.forward(ops, out, null, logits(byteOfPatch));
        } else {
            head.forward(ops, out, null, scores);
            ops.copy(scores, logits(byteOfPatch));
        }
    }

    /** F32 {@code [B, V]} of one byte, after its {@link #forward}. */
    Tensor logits(int byteOfPatch) {
        return logits.part((long) batch * config.vocabularySize() * byteOfPatch, batch, config.vocabularySize());
    }

    /** F32 {@code [P, B, V]}. */
    Tensor logits() {
        return logits;
    }
}
