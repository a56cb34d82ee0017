package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Causal attention over long sequences, {@code kernels/patch_attention.cu}. */
final class PatchAttentionKernels {
    private static final int SUM_THREADS = 128;
    private static final int REACH_THREADS = 256;
    private static final int PLAIN_SHARED = 48 << 10;

    /** Of one dtype and one padded head size. */
    private record Kernels(Kernel forward, Kernel forwardAlibi, Kernel backwardQuery, Kernel backwardKey,
            Kernel sumPartials, Kernel norms, Kernel reach) {
        static Kernels of(KernelModule module, DType dtype, PatchAttentionPlan plan) {
            String suffix = dtype == DType.BF16 ? "_bf16" : "_f32";
            String of = plan.padded() + suffix;
            Kernel forward = forward(module, of, plan);
            return new Kernels(forward,
                    dtype == DType.BF16 ? forward(module, plan.padded() + "_alibi" + suffix, plan) : forward,
                    shared(module.kernel("patch_attention_backward_query_" + of,
                            PTR, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, PTR, I32, F32),
                            plan.backwardQuery()),
                    shared(module.kernel("patch_attention_backward_key_" + of,
                            PTR, PTR, PTR, PTR, PTR, I64, I64, I32, I32, I32, I32, I32, PTR, I32, F32),
                            plan.backwardKey()),
                    module.kernel("patch_attention_sum_partial_gradients" + suffix,
                            PTR, PTR, I64, I64, I32, I32, I32, I32, I32, I32),
                    module.kernel("patch_attention_norms" + suffix, PTR, PTR, I32, I32, I32, I32),
                    module.kernel("patch_attention_reach", PTR, PTR, I32, I32, I32, F32));
        }

        private static Kernel forward(KernelModule module, String of, PatchAttentionPlan plan) {
            return shared(module.kernel("patch_attention_forward_" + of,
                    PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, PTR, I32, F32), plan.forward());
        }

        private static Kernel shared(Kernel kernel, PatchAttentionTiles tiles) {
            return tiles.sharedBytes() > PLAIN_SHARED ? kernel.maxDynamicShared(tiles.sharedBytes()) : kernel;
        }
    }

    private record Prepared(PatchAttentionPlan plan, Kernels kernels) { }

    private final KernelModule module;
    private final int multiprocessors;
    private final PatchAttentionGroup.Choice choice;
    private final Map<Integer, Kernels> float32 = new HashMap<>();
    private final Map<Integer, Kernels> bf16 = new HashMap<>();
    private final Map<AttentionBias, Map<AttentionShape, Prepared>> float32Plans = new EnumMap<>(AttentionBias.class);
    private final Map<AttentionBias, Map<AttentionShape, Prepared>> bf16Plans = new EnumMap<>(AttentionBias.class);

    PatchAttentionKernels(KernelLoader loader) {
        this(loader, PatchAttentionGroup::of);
    }

    /** As above, with another choice of which heads share a tile. */
    PatchAttentionKernels(KernelLoader loader, PatchAttentionGroup.Choice choice) {
        this.choice = choice;
        module = loader.module("patch_attention");
        multiprocessors = loader.multiprocessors();
        for (AttentionBias bias : AttentionBias.values()) {
            float32Plans.put(bias, new HashMap<>());
            bf16Plans.put(bias, new HashMap<>());
        }
    }

    private Prepared prepared(AttentionShape shape, AttentionBias bias, DType dtype) {
        Map<AttentionShape, Prepared> plans = (dtype == DType.BF16 ? bf16Plans : float32Plans).get(bias);
        Prepared known = plans.get(shape);
        if (known == null) {
            PatchAttentionPlan plan = PatchAttentionPlan.of(shape, bias, dtype, multiprocessors, choice);
            Kernels kernels = (dtype == DType.BF16 ? bf16 : float32)
                    .computeIfAbsent(plan.padded(), padded -> Kernels.of(module, dtype, plan));
            known = new Prepared(plan, kernels);
            plans.put(shape, known);
        }
        return known;
    }

    /**
     * {@link Ops#causalAttention}.
     *
     * @param workspace at least {@link #causalAttentionWorkspaceBytes}; may be null for none
     */
    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp,
            Tensor workspace) {
        Prepared prepared = prepared(shape, bias, qkv.dtype());
        PatchAttentionPlan plan = prepared.plan;
        Tensor reach = findReach(prepared, shape, qkv, workspace, 0);
        PatchAttentionTiles tiles = plan.forward();
        Kernel kernel = bias == AttentionBias.ALIBI ? prepared.kernels.forwardAlibi : prepared.kernels.forward;
        kernel.grid(tiles.blocksOfQueries(shape, plan.group())).block(tiles.threads()).shared(tiles.sharedBytes())
                .arg(qkv).arg(out).arg(logSumExp);
        sizes(kernel, shape).arg(plan.groups(shape)).arg(plan.split(shape)).arg(reach);
        launch(kernel, shape, bias);
    }

    /** For how far the heads look, where that is less far than the sequence. */
    long causalAttentionWorkspaceBytes(AttentionShape shape, AttentionBias bias, DType dtype) {
        return prepared(shape, bias, dtype).plan.forwardWorkspaceBytes();
    }

    /**
     * {@link Ops#causalAttentionBackward}.
     *
     * @param workspace at least {@link #causalAttentionBackwardWorkspaceBytes}
     */
    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        Prepared prepared = prepared(shape, bias, qkv.dtype());
        PatchAttentionPlan plan = prepared.plan;
        Tensor reach = findReach(prepared, shape, qkv, workspace, plan.reachAt());
        PatchAttentionTiles rows = plan.backwardQuery();
        Kernel query = prepared.kernels.backwardQuery.grid(rows.blocksOfQueries(shape, plan.group()))
                .block(rows.threads()).shared(rows.sharedBytes())
                .arg(qkv).arg(out).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv);
        sizes(query, shape).arg(plan.groups(shape)).arg(plan.split(shape)).arg(reach);
        launch(query, shape, bias);
        PatchAttentionTiles keys = plan.backwardKey();
        Kernel key = prepared.kernels.backwardKey.grid(keys.blocksOfKeys(shape), plan.sharing()).block(keys.threads())
                .shared(keys.sharedBytes()).arg(qkv).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv)
                .arg(plan.partialsAt()).arg(plan.chunk());
        sizes(key, shape).arg(plan.pairs()).arg(reach);
        launch(key, shape, bias);
        if (plan.sharing() > 1) {
            prepared.kernels.sumPartials.grid(shape.rows()).block(SUM_THREADS).arg(workspace).arg(dQkv)
                    .arg(plan.partialsAt()).arg(plan.chunk()).arg((int) shape.length())
                    .arg(shape.heads() / shape.keyValueHeads()).arg(shape.keyValueWidth()).arg(shape.packedWidth())
                    .arg(keys.rows()).arg(keys.passing()).launch();
        }
    }

    /** Delta, the sums of blocks that share keys, and reach: grows with the length, not with its square. */
    long causalAttentionBackwardWorkspaceBytes(AttentionShape shape, AttentionBias bias, DType dtype) {
        return prepared(shape, bias, dtype).plan.backwardWorkspaceBytes();
    }

    /**
     * How far each head looks.
     *
     * @param at where in the workspace, in floats
     * @return null where all look back to the beginning
     */
    private static Tensor findReach(Prepared prepared, AttentionShape shape, Tensor qkv, Tensor workspace, long at) {
        if (!prepared.plan.reachLimited()) {
            return null;
        }
        long heads = shape.batch() * shape.heads();
        Tensor reach = workspace.part(at, heads);
        Tensor norms = workspace.part(at + heads, workspace.elements() - at - heads);
        prepared.kernels.norms.grid(PatchAttentionPlan.blocksOfNorms(shape)).block(REACH_THREADS).arg(qkv).arg(norms)
                .arg((int) shape.length()).arg(shape.heads() + shape.keyValueHeads()).arg(shape.headSize())
                .arg(shape.packedWidth()).launch();
        prepared.kernels.reach.grid(heads).block(REACH_THREADS).arg(norms).arg(reach).arg((int) shape.length())
                .arg(shape.heads()).arg(shape.keyValueHeads()).arg(scale(shape)).launch();
        return reach;
    }

    private static Kernel sizes(Kernel kernel, AttentionShape shape) {
        return kernel.arg((int) shape.length()).arg(shape.heads()).arg(shape.keyValueHeads()).arg(shape.headSize());
    }

    private static void launch(Kernel kernel, AttentionShape shape, AttentionBias bias) {
        kernel.arg(bias == AttentionBias.ALIBI ? 1 : 0).arg(scale(shape)).launch();
    }

    private static float scale(AttentionShape shape) {
        return (float) (1 / Math.sqrt(shape.headSize()));
    }
}
