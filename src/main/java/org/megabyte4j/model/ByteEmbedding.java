package org.megabyte4j.model;

import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/**
 * The local model's own input: the embedding of the byte before, added to what the global model says.
 *
 * <p>The paper's variant looks the byte up in a table of its own, and sees a padding id at the start of each patch. The
 * "in action" variant sends the shared table through a Linear layer, and sees the byte before across patch borders. A
 * row of that product depends on the id alone, so the whole table is projected once instead of every position. The
 * gradient of the projected table is summed up in float32, as those of parameters are, and goes on in float32.
 *
 * <p>It takes some of the positions at a time: {@link #begin}, then {@link #forward} and {@link #backward} for each
 * part, then {@link #finish}.
 */
final class ByteEmbedding {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final ByteShift shift;
    private final int padId;
    private final Tensor table;         // [V, D_L]; in the "in action" variant the projected table
    private final Tensor dTable;        // F32
    private final Linear projection;    // D_G -> D_L, or null
    private final Linear backward;      // the same in float32
    private final Tensor shared;        // [V, D_G], or null
    private final Tensor masterShared;  // the same in float32
    private final Tensor dShared;

    ByteEmbedding(GraphBuilder graph, long length) {
        MegabyteConfig config = graph.config();
        padId = config.padId();
        if (config.variant() == Variant.MEGABYTE) {
            shift = new ByteShift(1, config.patchSize());
            table = graph.weight("l_embedder.weight");
            dTable = graph.gradient("l_embedder.weight");
            projection = null;
            backward = null;
            shared = null;
            masterShared = null;
            dShared = null;
        } else {
            shift = new ByteShift(1, length);
            table = graph.scratch("projectedTable", config.vocabularySize(), config.localSize());
            dTable = graph.gradientScratch("dProjectedTable", config.vocabularySize(), config.localSize());
            projection = Linear.withBias(graph, "to_l_embed");
            backward = Linear.inFullPrecision(graph, "to_l_embed");
            shared = graph.weight("to_embed.weight");
            masterShared = graph.masterWeight("to_embed.weight");
            dShared = graph.gradient("to_embed.weight");
        }
    }

    /** Before the first part of a batch. */
    void begin(Ops ops) {
        if (projection != null) {
            projection.forward(ops, shared, null, table);
            if (dTable != null) {
                ops.fill(dTable, 0);
            }
        }
    }

    /**
     * @param ids   of the whole batch, {@code [B * T]}
     * @param first position where the part begins
     * @param x     {@code [rows, D_L]} of the part, which the embeddings are added to
     */
    void forward(Ops ops, Tensor ids, long first, Tensor x) {
        long head = head(first, x.rows());
        if (head > 0) {
            Tensor part = x.slice(0, head);
            ops.embed(ids.part(first - 1, head), NO_SHIFT, padId, table, null, part, part);
        }
        if (head < x.rows()) {
            Tensor part = x.slice(head, x.rows() - head);
            ops.embed(ids.part(first + head, part.rows()), shift, padId, table, null, part, part);
        }
    }

    /** @param dX gradient of the part's {@code x} */
    void backward(Ops ops, Tensor ids, long first, Tensor dX) {
        long head = head(first, dX.rows());
        if (head > 0) {
            ops.embedBackward(ids.part(first - 1, head), NO_SHIFT, padId, dX.slice(0, head), dTable, null);
        }
        if (head < dX.rows()) {
            Tensor part = dX.slice(head, dX.rows() - head);
            ops.embedBackward(ids.part(first + head, part.rows()), shift, padId, part, dTable, null);
        }
    }

    /** How many of the part's positions come before the first beginning of a block: they see an id before the part. */
    private long head(long first, long rows) {
        return Math.min(rows, Math.ceilDiv(first, shift.period()) * shift.period() - first);
    }

    /** After the last part of a batch went backward. */
    void finish(Ops ops) {
        if (projection != null) {
            backward.backwardWeights(ops, masterShared, dTable);
            backward.backwardInput(ops, dTable, dShared, dShared);
        }
    }
}
