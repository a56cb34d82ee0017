package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.LocalWeights;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** The local model over a whole patch of each sequence at one go: what P times {@link ByteStep} and sampling do. */
final class LocalPatch {
    private final LocalWeights model;
    private final Tensor slices;      // [B * P, D_L]
    private final Tensor logits;      // F32 [P, B, V]

    /** @param slices what the global model says about each byte of the patch, {@code [B * P, D_L]} */
    LocalPatch(GraphBuilder graph, MemoryPlan plan, int batch, LocalWeights model, Tensor slices) {
        this.model = model;
        this.slices = slices;
        logits = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "logits", DType.F32, graph.config().patchSize(), batch,
                graph.config().vocabularySize());
    }

    /**
     * The local model's weights.
     *
     * @param table local embeddings of all ids, {@code [V, D_L]}
     */
    static LocalWeights weights(GraphBuilder graph, AttentionBias bias, Tensor table) {
        List<LocalWeights.Layer> layers = new ArrayList<>();
        for (int i = 0; i < graph.config().localLayers(); i++) {
            String attention = ModelLayout.attention("l_transformer", i);
            String feedForward = ModelLayout.feedForward("l_transformer", i);
            layers.add(new LocalWeights.Layer(
                    graph.weight(attention + "norm.weight"), graph.weight(attention + "norm.bias"),
                    graph.matrix(attention + "to_q.weight", attention + "to_kv.weight"),
                    graph.matrix(attention + "to_out.weight"),
                    graph.weight(feedForward + "0.weight"), graph.weight(feedForward + "0.bias"),
                    graph.matrix(feedForward + "1.weight"), graph.weight(feedForward + "1.bias"),
                    graph.matrix(feedForward + "4.weight"), graph.weight(feedForward + "4.bias")));
        }
        return new LocalWeights(table, layers, graph.matrix("to_logits.weight"), graph.weight("to_logits.bias"),
                graph.config().localHeads(), bias);
    }

    void forward(Ops ops, SampleStep sampling) {
        ops.decodePatch(model, slices, sampling.all(), logits);
    }

    /** F32 {@code [P, B, V]}. */
    Tensor logits() {
        return logits;
    }
}
