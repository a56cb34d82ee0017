package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.model.GraphBuilder.Keep;
import org.megabyte4j.tensor.Tensor;

/**
 * From the global model's result to the loss, over some patches that follow each other: the local transformer with its
 * input, and the head. Patches are independent here, so a batch can go through a part at a time.
 */
final class LocalModel {
    private static final String LOCAL = "l_transformer";

    private final MegabyteConfig config;
    private final Linear globalToLocal;
    private final ByteEmbedding byteEmbedding;
    private final TransformerStack stack;
    private final Linear head;
    private final Tensor input;       // [rows, D_L]
    private final Tensor logits;      // [rows, V]
    private final Tensor d;           // [rows, D_L], scratch

    private Tensor output;

    /** @param patches how many it takes */
    LocalModel(GraphBuilder graph, ByteEmbedding byteEmbedding, long patches, AttentionBias bias) {
        config = graph.config();
        this.byteEmbedding = byteEmbedding;
        long rows = patches * config.patchSize();
        globalToLocal = Linear.withBias(graph, "gl_linear.1");
        input = graph.kept(Keep.ALL, "localInput ", TransformerStack.stream(LOCAL), rows, config.localSize());
        stack = new TransformerStack(graph, LOCAL, config.localLayers(), config.localSize(),
                new AttentionShape(patches, config.patchSize(), config.localHeads(), 1, config.localHeadSize()), bias);
        head = Linear.withBias(graph, "to_logits");
        logits = graph.kept(Keep.ALL, "", "logits", rows, config.vocabularySize());
        d = graph.backwardScratch(TransformerStack.stream(LOCAL), rows, config.localSize());
    }

    long rows() {
        return input.rows();
    }

    /**
     * @param global the global model's result for these bytes, {@code [rows, D_G]}
     * @param ids    of the whole batch, {@code [B * T]}
     * @param first  position of the first of these bytes
     */
    void forward(Ops ops, Tensor global, Tensor ids, long first) {
        globalToLocal.forward(ops, global, null, input);
        byteEmbedding.forward(ops, ids, first, input);
        output = stack.forward(ops, input);
        head.forward(ops, output, null, logits);
    }

    /**
     * After {@link #forward}: adds these bytes' share of the mean cross entropy.
     *
     * @param count    targets of the whole mean
     * @param backward whether the logits become their gradient
     */
    void loss(Ops ops, Tensor ids, long first, Tensor count, Tensor loss, boolean backward) {
        ops.softmaxCrossEntropy(logits, ids.part(first, rows()), config.padId(), count, loss, backward ? logits : null,
                1f);
    }

    /**
     * After {@link #loss}, which has left the logits' gradient.
     *
     * @param dGlobal gradient of {@code global}, is set
     */
    void backward(Ops ops, Tensor global, Tensor ids, long first, Tensor dGlobal) {
        head.backwardInput(ops, logits, null, d);
        head.backwardWeights(ops, output, logits);
        stack.backward(ops, d);
        byteEmbedding.backward(ops, ids, first, d);
        globalToLocal.backwardInput(ops, d, null, dGlobal);
        globalToLocal.backwardWeights(ops, global, d);
    }

    Tensor input() {
        return input;
    }

    Tensor output() {
        return output;
    }

    Tensor logits() {
        return logits;
    }
}
