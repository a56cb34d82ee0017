package org.megabyte4j.model;

import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/**
 * The global model's input: the bytes one patch back, embedded, the embeddings of a patch side by side (MEGABYTE
 * sec. 2.1). The paper's variant adds a learned position to each byte.
 */
final class PatchEmbedding {
    private final ByteShift shift;
    private final int padId;
    private final Tensor table;        // [V, D_G]
    private final Tensor positions;    // [T_MAX, D_G] or null
    private final Tensor dTable;
    private final Tensor dPositions;
    private final Tensor out;          // [B * T, D_G], the same bytes as [B * K, P * D_G]

    /** @param stack what its result goes into */
    PatchEmbedding(GraphBuilder graph, long batch, long length, String stack) {
        MegabyteConfig config = graph.config();
        boolean learned = config.variant() == Variant.MEGABYTE;
        String name = learned ? "g_embedder.weight" : "to_embed.weight";
        shift = new ByteShift(config.patchSize(), length);
        padId = config.padId();
        table = graph.weight(name);
        dTable = graph.gradient(name);
        positions = learned ? graph.weight("g_pos_embedder.weight") : null;
        dPositions = learned ? graph.gradient("g_pos_embedder.weight") : null;
        out = graph.kept(GraphBuilder.Keep.RESULTS, "globalInput ", TransformerStack.stream(stack), batch * length,
                config.globalEmbeddingSize());
    }

    Tensor forward(Ops ops, Tensor ids) {
        ops.embed(ids, shift, padId, table, positions, null, out);
        return out;
    }

    /** @param dOut {@code [B * T, D_G]} */
    void backward(Ops ops, Tensor ids, Tensor dOut) {
        ops.embedBackward(ids, shift, padId, dOut, dTable, dPositions);
    }
}
