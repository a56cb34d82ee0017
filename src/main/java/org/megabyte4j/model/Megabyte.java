package org.megabyte4j.model;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The model graph of both variants for one batch size and sequence length (Yu et al. 2023, arXiv 2305.07185): a global
 * transformer over patches, a local one inside each patch, a head over the vocabulary. Byte t is predicted from the
 * bytes before it; logits at t belong to ids[t].
 *
 * <p>Weights and activations are of {@link Parameters#dtype}; loss, statistics and parameters' gradients are F32.
 *
 * <p>Shapes: B batch, T length in bytes, P patch size, K = T/P patches, V vocabulary. Building a graph plans its
 * buffers and nothing else; after {@code backend.plan} and {@code backend.allocate} it runs:
 *
 * <pre>{@code
 * ops.fill(graph.gradients(), 0);
 * ops.fill(graph.loss(), 0);
 * graph.forward(ops);
 * graph.lossAndBackward(ops);
 * }</pre>
 */
public final class Megabyte {
    private final MegabyteConfig config;
    private final Tensor ids;
    private final Tensor targets;
    private final Tensor targetCount;
    private final Tensor loss;
    private final Tensor gradients;

    private final PatchEmbedding patchEmbedding;
    private final TransformerStack global;
    private final Linear globalToLocal;
    private final ByteEmbedding byteEmbedding;
    private final TransformerStack local;
    private final Linear head;

    private final Tensor localInput;      // [B * T, D_L]
    private final Tensor logits;          // [B * T, V]
    private final Tensor dGlobal;         // [B * K, P * D_G], scratch
    private final Tensor dLocal;          // [B * T, D_L], scratch

    private Tensor globalInput;
    private Tensor globalOutput;
    private Tensor localOutput;

    private Megabyte(Parameters parameters, int batch, int length, MemoryPlan plan, boolean backward, boolean someTargets) {
        config = parameters.config();
        if (batch < 1) {
            throw new ConfigException("batch size " + batch + " is not possible; use at least 1");
        }
        config.checkLength("sequence length", length);
        long rows = (long) batch * length;
        long patches = rows / config.patchSize();
        ids = plan.tensor(MemoryPlan.Category.INPUTS, "ids", DType.I32, batch, length);
        targets = someTargets ? plan.tensor(MemoryPlan.Category.INPUTS, "targets", DType.I32, batch, length) : ids;
        targetCount = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "targetCount", DType.I32, 1);
        loss = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "loss", DType.F32, 1);
        gradients = backward ? plan.tensor(MemoryPlan.Category.GRADIENTS, "gradients", DType.F32,
                parameters.layout().elements()) : null;

        GraphBuilder graph = new GraphBuilder(parameters, gradients, plan);
        AttentionBias bias = config.variant() == Variant.MEGABYTE ? AttentionBias.NONE : AttentionBias.ALIBI;
        patchEmbedding = new PatchEmbedding(graph, batch, length);
        global = new TransformerStack(graph, "g_transformer", config.globalLayers(), config.globalSize(),
                new AttentionShape(batch, length / config.patchSize(), config.globalHeads(), 1,
                        config.globalHeadSize()), bias);
        globalToLocal = Linear.withBias(graph, "gl_linear.1");
        byteEmbedding = new ByteEmbedding(graph, length);
        localInput = graph.kept("localInput", rows, config.localSize());
        local = new TransformerStack(graph, "l_transformer", config.localLayers(), config.localSize(),
                new AttentionShape(patches, config.patchSize(), config.localHeads(), 1, config.localHeadSize()), bias);
        head = Linear.withBias(graph, "to_logits");
        logits = graph.kept("logits", rows, config.vocabularySize());
        dGlobal = graph.backwardScratch("dGlobal", patches, config.globalSize());
        dLocal = graph.backwardScratch("dLocal", rows, config.localSize());
    }

    /**
     * A graph that runs forward and backward.
     *
     * @param batch  sequences, at least 1
     * @param length bytes in each, a multiple of P
     * @throws ConfigException if the length does not suit the model
     */
    public static Megabyte forTraining(Parameters parameters, int batch, int length, MemoryPlan plan) {
        return new Megabyte(parameters, batch, length, plan, true, false);
    }

    /** A graph that only runs forward, in much less memory. */
    public static Megabyte forEvaluation(Parameters parameters, int batch, int length, MemoryPlan plan) {
        return new Megabyte(parameters, batch, length, plan, false, false);
    }

    /** As {@link #forEvaluation} with {@link #targets} of its own, which need not be all of the ids. */
    public static Megabyte forEvaluationOfSome(Parameters parameters, int batch, int length, MemoryPlan plan) {
        return new Megabyte(parameters, batch, length, plan, false, true);
    }

    /** From {@link #ids} to {@link #logits}. */
    public void forward(Ops ops) {
        globalInput = patchEmbedding.forward(ops, ids);
        globalOutput = global.forward(ops, globalInput.view(patchShape()));
        globalToLocal.forward(ops, asBytes(globalOutput), null, localInput);
        byteEmbedding.forward(ops, ids, localInput);
        localOutput = local.forward(ops, localInput);
        head.forward(ops, localOutput, null, logits);
    }

    /** Adds the mean cross entropy of all targets that are not padding, in nats, to {@link #loss}; keeps the logits. */
    public void loss(Ops ops) {
        ops.countTargets(targets, config.padId(), targetCount);
        crossEntropy(ops, targetCount, null);
    }

    /**
     * As {@link #loss}, and adds the loss's gradients to {@link #gradients}. The logits and whatever forward has kept
     * are used up.
     */
    public void lossAndBackward(Ops ops) {
        ops.countTargets(targets, config.padId(), targetCount);
        lossAndBackward(ops, targetCount);
    }

    /**
     * As {@link #lossAndBackward(Ops)} for one of several batches that make one mean: each adds its share of it.
     *
     * @param count I32 {@code [1]}: targets of all the batches that are not padding
     */
    public void lossAndBackward(Ops ops, Tensor count) {
        crossEntropy(ops, count, logits);
        head.backwardInput(ops, logits, null, dLocal);
        head.backwardWeights(ops, localOutput, logits);
        local.backward(ops, dLocal);
        byteEmbedding.backward(ops, ids, dLocal);
        globalToLocal.backwardInput(ops, dLocal, null, asBytes(dGlobal));
        globalToLocal.backwardWeights(ops, asBytes(globalOutput), dLocal);
        global.backward(ops, dGlobal);
        patchEmbedding.backward(ops, ids, asBytes(dGlobal));
    }

    private void crossEntropy(Ops ops, Tensor count, Tensor dLogits) {
        ops.softmaxCrossEntropy(logits, targets.view(targets.elements()), config.padId(), count, loss, dLogits, 1f);
    }

    private long[] patchShape() {
        return new long[] {ids.elements() / config.patchSize(), config.globalSize()};
    }

    /** Rows of patches as rows of bytes. */
    private Tensor asBytes(Tensor patches) {
        return patches.view(ids.elements(), config.globalEmbeddingSize());
    }

    /** The input, I32 {@code [B, T]}; every id must lie within the vocabulary, see {@link Ids#check}. */
    public Tensor ids() {
        return ids;
    }

    /** What the loss is about, I32 {@code [B, T]}: the {@link #ids} themselves, or those among them that count. */
    public Tensor targets() {
        return targets;
    }

    /** {@code [B * T, V]} in the type that the model computes in, after {@link #forward}. */
    public Tensor logits() {
        return logits;
    }

    /** F32 {@code [1]}: nats per target, added to by each batch; the caller sets it to 0. */
    public Tensor loss() {
        return loss;
    }

    /** I32 {@code [1]}: targets of the last batch that are not padding. */
    public Tensor targetCount() {
        return targetCount;
    }

    /** F32, mirrors the parameter arena, added to by each batch; the caller sets it to 0. Null without backward. */
    public Tensor gradients() {
        return gradients;
    }

    /** The embedded patches {@code [B * T, D_G]}, after {@link #forward} of a training graph. */
    public Tensor globalInput() {
        return globalInput;
    }

    /** The global transformer's result {@code [B * K, P * D_G]}, after {@link #forward} of a training graph. */
    public Tensor globalOutput() {
        return globalOutput;
    }

    /** {@code [B * T, D_L]}, after {@link #forward} of a training graph. */
    public Tensor localInput() {
        return localInput;
    }

    /** {@code [B * T, D_L]}, after {@link #forward} of a training graph. */
    public Tensor localOutput() {
        return localOutput;
    }
}
