package org.megabyte4j.model;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.LocalModel;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The model byte by byte, for generation: keys and values of earlier patches and bytes stay in caches, so the global
 * model runs once for each patch and the local one once for each byte. Computes what {@link Megabyte} computes.
 *
 * <p>Patch k of a sequence: {@link #patchStep} gets the ids of patch k - 1 and {@link #sampling} what is known of patch
 * k, then {@link #forward} runs the global model once and the local one P times, each time followed by the choice of an
 * id, all of it on the device; in one operation where the device {@linkplain Backend#decodesPatches can do that}. A
 * prompt's earlier patches go through {@link #prefillSteps}, many at once. After its last byte a patch leaves the next
 * one's input, so that only the first has to be set, and many can be enqueued before the host has seen an id.
 * {@link #prepare} comes first, and again whenever the weights have changed.
 */
public final class MegabyteDecoder {
    /** Patches that prefill takes at once. The smaller number covers what the larger leaves, with padding at the end. */
    private static final int[] PREFILL_PATCHES = {64, 16};

    private final MegabyteConfig config;
    private final Tensor arena;            // F32, all parameters
    private final Tensor matrices;         // the same rounded, for the matrices of Linear layers; or null
    private final int capacity;
    private final List<PatchStep> prefillSteps = new ArrayList<>();
    private final PatchStep patchStep;
    private final LocalPatch localPatch;   // null where the device goes byte by byte
    private final ByteStep byteStep;       // null where it does not
    private final SampleStep sampling;
    private final List<Tensor> globalCaches;
    private final PatchInput input;
    private final Linear projection;       // D_G -> D_L of the "in action" variant, or null
    private final Tensor sharedTable;      // [V, D_G], or null
    private final Tensor projectedTable;   // [V, D_L], or null

    /**
     * @param backend what it will run on
     * @param weights in which Linear layers read their matrices: the parameters' own type, or another, of which the
     *                decoder then has copies
     * @param batch   sequences side by side, at least 1
     * @param length  longest sequence in bytes, prompt and continuation together
     * @throws ConfigException if the length is longer than the learned positions
     */
    public MegabyteDecoder(Backend backend, Parameters parameters, DType weights, int batch, int length,
            MemoryPlan plan) {
        config = parameters.config();
        if (batch < 1) {
            throw new ConfigException("batch size " + batch + " is not possible; use at least 1");
        }
        int patchSize = config.patchSize();
        capacity = Math.ceilDiv(length, patchSize);
        config.checkLength("sequence length", (long) capacity * patchSize);

        arena = parameters.arena();
        matrices = weights == parameters.dtype() ? null
                : plan.tensor(MemoryPlan.Category.CACHE, "matrices", weights, arena.elements());
        GraphBuilder graph = new GraphBuilder(parameters, null, plan, Fusion.NONE).withMatrices(matrices);
        AttentionBias bias = config.variant() == Variant.MEGABYTE ? AttentionBias.NONE : AttentionBias.ALIBI;
        Tensor slices = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "globalToLocal", parameters.dtype(),
                (long) batch * patchSize, config.localSize());
        Tensor localTable;
        if (config.variant() == Variant.MEGABYTE) {
            projection = null;
            sharedTable = null;
            projectedTable = null;
            localTable = graph.weight("l_embedder.weight");
        } else {
            projection = Linear.withBias(graph, "to_l_embed");
            sharedTable = graph.weight("to_embed.weight");
            projectedTable = plan.tensor(MemoryPlan.Category.CACHE, "projectedTable", parameters.dtype(),
                    config.vocabularySize(), config.localSize());
            localTable = projectedTable;
        }
        int smallest = PREFILL_PATCHES[PREFILL_PATCHES.length - 1];
        globalCaches = caches(graph, plan, "globalCache", config.globalLayers(), batch,
                Math.ceilDiv(capacity, smallest) * (long) smallest, config.globalHeadSize());
        for (int patches : PREFILL_PATCHES) {
            if (patches <= capacity || patches == smallest) {
                prefillSteps.add(new PatchStep(graph, plan, batch, patches, bias, globalCaches, null));
            }
        }
        patchStep = new PatchStep(graph, plan, batch, 1, bias, globalCaches, slices);
        LocalModel localModel = LocalPatch.model(graph, bias, localTable);
        if (backend.decodesPatches(localModel, batch, patchSize)) {
            localPatch = new LocalPatch(graph, plan, batch, localModel, slices);
            byteStep = null;
        } else {
            localPatch = null;
            List<Tensor> localCaches = caches(graph, plan, "localCache", config.localLayers(), batch, patchSize,
                    config.localHeadSize());
            byteStep = new ByteStep(graph, plan, batch, bias, localCaches, slices, localTable);
        }
        sampling = new SampleStep(config, plan, batch, patchSize);
        input = patchStep.input(sampling);
    }

    private static List<Tensor> caches(GraphBuilder graph, MemoryPlan plan, String name, int layers, int batch,
            long positions, int headSize) {
        List<Tensor> caches = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            caches.add(plan.tensor(MemoryPlan.Category.CACHE, name, graph.dtype(), batch, positions, 2L * headSize));
        }
        return caches;
    }

    /** Everything that {@code ops} may be asked for, once. For {@code backend.plan}. */
    public void program(Ops ops) {
        prepare(ops);
        prefillSteps.forEach(step -> step.forward(ops));
        forward(ops, 0, config.patchSize());
    }

    /** Writes what never changes, and computes what depends on the weights alone. */
    public void prepare(Backend backend, Ops ops) {
        if (byteStep != null) {
            byteStep.prepare(backend);
        }
        prepare(ops);
    }

    private void prepare(Ops ops) {
        if (matrices != null) {
            ops.copy(arena, matrices);
        }
        if (projection != null) {
            projection.forward(ops, sharedTable, null, projectedTable);
        }
    }

    /**
     * Some bytes of the current patch of each sequence; byte 0 begins with the global model, and after byte P - 1 the
     * next patch is the current one, unless there is no room for it.
     *
     * @param from first byte of the patch
     * @param to   the one behind the last, at most P
     * @throws IllegalArgumentException for a part of the patch where it {@link #isWhole}
     */
    public void forward(Ops ops, int from, int to) {
        if (isWhole()) {
            if (from != 0 || to != config.patchSize()) {
                throw new IllegalArgumentException("bytes " + from + " to " + to + " of a patch of "
                        + config.patchSize() + ", which is decoded at one go");
            }
            patchStep.forward(ops);
            localPatch.forward(ops, sampling);
        }
        for (int i = from; !isWhole() && i < to; i++) {
            if (i == 0) {
                patchStep.forward(ops);
            }
            byteStep.forward(ops, i, sampling.seenBy(i));
            sampling.forward(ops, i, byteStep.logits(i));
        }
        if (to == config.patchSize()) {
            ops.nextPatch(sampling.results(), capacity - 1, config.variant() == Variant.IN_ACTION, input);
        }
    }

    /** Whether a patch is decoded at one go, so that there is no asking for a part of it. */
    public boolean isWhole() {
        return localPatch != null;
    }

    /** Steps that fill the global caches with many patches at once, the largest step first. */
    public List<PatchStep> prefillSteps() {
        return List.copyOf(prefillSteps);
    }

    /** The global model over one patch of each sequence. */
    public PatchStep patchStep() {
        return patchStep;
    }

    /** The choice of a patch's ids. */
    public SampleStep sampling() {
        return sampling;
    }

    /** F32 {@code [P, B, V]}: of each byte of the patch, after {@link #forward}. */
    public Tensor logits() {
        return isWhole() ? localPatch.logits() : byteStep.logits();
    }

    /**
     * Of each global layer the keys and values of a sequence's first patches, {@code [patches, 2 * headSize]} in the
     * type that the model computes in. They and the ids are all there is to know of these patches.
     */
    public List<Tensor> globalCaches(int sequence, long patches) {
        return globalCaches.stream().map(cache -> {
            long width = cache.size(2);
            return cache.part(sequence * cache.size(1) * width, patches, width);
        }).toList();
    }

    /** Patches that a sequence can have. */
    public int capacity() {
        return capacity;
    }
}
