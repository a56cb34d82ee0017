package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongConsumer;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Fusion;
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
    private static final String GLOBAL = "g_transformer";

    private final MegabyteConfig config;
    private final Tensor ids;
    private final Tensor targets;
    private final Tensor targetCount;
    private final Tensor loss;
    private final Tensor gradients;

    private final PatchEmbedding patchEmbedding;
    private final TransformerStack global;
    private final ByteEmbedding byteEmbedding;
    private final List<Chunk> chunks = new ArrayList<>();
    private final Progress progress;
    private final Tensor dGlobal;    // [B * K, P * D_G], scratch

    private Tensor globalInput;
    private Tensor globalOutput;

    /** Some of the bytes, from position {@code first} on, and the local model that takes as many. */
    private record Chunk(LocalModel local, long first) { }

    private Megabyte(Parameters parameters, int batch, int length, MemoryPlan plan, boolean backward,
            Recomputation recomputation, boolean someTargets, Fusion fusion) {
        config = parameters.config();
        if (batch < 1) {
            throw new ConfigException("batch size " + batch + " is not possible; use at least 1");
        }
        config.checkLength("sequence length", length);
        long patches = (long) batch * length / config.patchSize();
        ids = plan.tensor(MemoryPlan.Category.INPUTS, "ids", DType.I32, batch, length);
        targets = someTargets ? plan.tensor(MemoryPlan.Category.INPUTS, "targets", DType.I32, batch, length) : ids;
        targetCount = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "targetCount", DType.I32, 1);
        loss = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "loss", DType.F32, 1);
        gradients = backward ? plan.tensor(MemoryPlan.Category.GRADIENTS, "gradients", DType.F32,
                parameters.layout().elements()) : null;

        GraphBuilder graph = new GraphBuilder(parameters, gradients, plan, fusion);
        progress = graph.progress();
        AttentionBias bias = config.variant() == Variant.MEGABYTE ? AttentionBias.NONE : AttentionBias.ALIBI;
        patchEmbedding = new PatchEmbedding(graph, batch, length, GLOBAL);
        global = new TransformerStack(recomputation.global(graph), GLOBAL, config.globalLayers(),
                config.globalSize(), new AttentionShape(batch, length / config.patchSize(), config.globalHeads(), 1,
                config.globalHeadSize()), bias);
        byteEmbedding = new ByteEmbedding(graph, length);
        long atOnce = Math.min(patches, recomputation.localPatches(config));
        GraphBuilder part = atOnce < patches ? graph.inPassing() : graph;
        LocalModel chunk = new LocalModel(part, byteEmbedding, atOnce, bias);
        LocalModel rest = patches % atOnce == 0 ? null : new LocalModel(part, byteEmbedding, patches % atOnce, bias);
        for (long first = 0; first < patches; first += atOnce) {
            chunks.add(new Chunk(patches - first < atOnce ? rest : chunk, first * config.patchSize()));
        }
        dGlobal = graph.backwardScratch(TransformerStack.stream(GLOBAL), patches, config.globalSize());
    }

    /**
     * A graph that runs forward and backward, and keeps everything in between.
     *
     * @param batch  sequences, at least 1
     * @param length bytes in each, a multiple of P
     * @param fusion which layers are computed at once: {@code backend.fusion()}, or {@link Fusion#NONE}
     * @throws ConfigException if the length does not suit the model
     */
    public static Megabyte forTraining(Parameters parameters, int batch, int length, MemoryPlan plan, Fusion fusion) {
        return forTraining(parameters, batch, length, Recomputation.NONE, plan, fusion);
    }

    /** As above, keeping less. If that makes chunks, the local model runs in {@link #lossAndBackward} alone. */
    public static Megabyte forTraining(Parameters parameters, int batch, int length, Recomputation recomputation,
            MemoryPlan plan, Fusion fusion) {
        return new Megabyte(parameters, batch, length, plan, true, recomputation, false, fusion);
    }

    /** A graph that only runs forward, in much less memory. */
    public static Megabyte forEvaluation(Parameters parameters, int batch, int length, MemoryPlan plan,
            Fusion fusion) {
        return new Megabyte(parameters, batch, length, plan, false, Recomputation.NONE, false, fusion);
    }

    /**
     * A graph that only runs forward and has no logits, just the loss: what is not the global model's takes the memory
     * of a chunk, however long the sequence is.
     *
     * @param chunk patches; null for the default
     */
    public static Megabyte forLoss(Parameters parameters, int batch, int length, Integer chunk, MemoryPlan plan,
            Fusion fusion) {
        return new Megabyte(parameters, batch, length, plan, false, chunks(chunk), false, fusion);
    }

    /** As {@link #forLoss} with {@link #targets} of its own, which need not be all of the ids. */
    public static Megabyte forLossOfSome(Parameters parameters, int batch, int length, Integer chunk, MemoryPlan plan,
            Fusion fusion) {
        return new Megabyte(parameters, batch, length, plan, false, chunks(chunk), true, fusion);
    }

    private static Recomputation chunks(Integer patches) {
        return new Recomputation(Recomputation.Stacks.ALL, false, patches);
    }

    /**
     * Has a listener hear how the program gets on, after each layer.
     *
     * @param listener gets the FLOPs of the layers enqueued since the last time, about
     */
    public void onProgress(LongConsumer listener) {
        progress.tell(listener);
    }

    /** From {@link #ids} to {@link #logits}; or, in a graph with chunks, as far as the global model goes. */
    public void forward(Ops ops) {
        globalInput = patchEmbedding.forward(ops, ids);
        globalOutput = global.forward(ops, globalInput.view(ids.elements() / config.patchSize(), config.globalSize()));
        byteEmbedding.begin(ops);
        if (!hasChunks()) {
            forward(ops, chunks.getFirst());
        }
    }

    private boolean hasChunks() {
        return chunks.size() > 1;
    }

    private void forward(Ops ops, Chunk chunk) {
        chunk.local.forward(ops, bytes(globalOutput, chunk), flat(ids), chunk.first);
    }

    /** Adds the mean cross entropy of all targets that are not padding, in nats, to {@link #loss}; keeps the logits. */
    public void loss(Ops ops) {
        ops.countTargets(targets, config.padId(), targetCount);
        for (Chunk chunk : chunks) {
            if (hasChunks()) {
                forward(ops, chunk);
            }
            chunk.local.loss(ops, flat(targets), chunk.first, targetCount, loss, false);
        }
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
        for (Chunk chunk : chunks) {
            if (hasChunks()) {
                forward(ops, chunk);
            }
            chunk.local.loss(ops, flat(targets), chunk.first, count, loss, true);
            chunk.local.backward(ops, bytes(globalOutput, chunk), flat(ids), chunk.first, bytes(dGlobal, chunk));
        }
        byteEmbedding.finish(ops);
        global.backward(ops, dGlobal);
        patchEmbedding.backward(ops, ids, dGlobal.view(ids.elements(), config.globalEmbeddingSize()));
    }

    private static Tensor flat(Tensor x) {
        return x.view(x.elements());
    }

    /** Rows of patches as rows of bytes, those of a chunk. */
    private Tensor bytes(Tensor patches, Chunk chunk) {
        return patches.view(ids.elements(), config.globalEmbeddingSize()).slice(chunk.first, chunk.local.rows());
    }

    /** The local model where it sees the whole batch. */
    private LocalModel local() {
        if (hasChunks()) {
            throw new IllegalStateException("the local model goes through the batch in " + chunks.size()
                    + " chunks, so there is nothing of all bytes; build the graph with Recomputation.NONE");
        }
        return chunks.getFirst().local;
    }

    /** The input, I32 {@code [B, T]}; every id must lie within the vocabulary, see {@link Ids#check}. */
    public Tensor ids() {
        return ids;
    }

    /** What the loss is about, I32 {@code [B, T]}: the {@link #ids} themselves, or those among them that count. */
    public Tensor targets() {
        return targets;
    }

    /** {@code [B * T, V]} in the type that the model computes in, after {@link #forward} without chunks. */
    public Tensor logits() {
        return local().logits();
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

    /** {@code [B * T, D_L]}, after {@link #forward} of a training graph without chunks. */
    public Tensor localInput() {
        return local().input();
    }

    /** {@code [B * T, D_L]}, after {@link #forward} of a training graph without chunks. */
    public Tensor localOutput() {
        return local().output();
    }
}
