package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.ToLongFunction;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Causal attention over long sequences, {@code kernels/patch_attention.cu}. */
final class PatchAttentionKernels {
    private static final int SUM_THREADS = 128;
    private static final int REACH_THREADS = 256;
    private static final int PLAIN_SHARED = 48 << 10;

    /** Of one dtype and one padded head size. */
    private record Kernels(Kernel forward, Kernel forwardAlibi, Kernel backwardQuery, Kernel backwardKey,
            Kernel sumPartials, Kernel norms, Kernel reach) {
        static Kernels of(KernelModule module, DType dtype, PatchAttentionPlan plan, boolean wide) {
            int d = plan.padded();
            String suffix = dtype == DType.BF16 ? "_bf16" : "_f32";
            String of = d + suffix;
            String forwardOf = d + (wide && PatchAttentionTiles.hasWideForward(dtype, d) ? "_wide" : "");
            String keyOf = d + (wide && PatchAttentionTiles.hasWideBackwardKey(dtype, d) ? "_wide" : "") + suffix;
            Kernel forward = forward(module, forwardOf + suffix, plan);
            return new Kernels(forward,
                    dtype == DType.BF16 ? forward(module, forwardOf + "_alibi" + suffix, plan) : forward,
                    shared(module.kernel("patch_attention_backward_query_" + of,
                            PTR, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, PTR, I32, F32),
                            plan.backwardQuery()),
                    shared(module.kernel("patch_attention_backward_key_" + keyOf,
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

    /** How to compute a shape in one way. */
    private record Way(PatchAttentionPlan plan, Kernels kernels) { }

    /** The ways for a shape, the usual one first, and which to go. */
    private record Prepared(List<Way> ways, Choice forward, Choice backward) {
        Way ofForward() {
            return ways.get(forward.taken());
        }

        Way ofBackward() {
            return ways.get(backward.taken());
        }

        long forwardWorkspaceBytes() {
            return most(ways, PatchAttentionPlan::forwardWorkspaceBytes);
        }

        long backwardWorkspaceBytes() {
            return most(ways, PatchAttentionPlan::backwardWorkspaceBytes);
        }
    }

    private final KernelModule module;
    private final int multiprocessors;
    private final PatchAttentionGroup.Choice group;
    private final Tuner tuner;
    private final Map<String, Kernels> kernels = new HashMap<>();
    private final Map<AttentionBias, Map<AttentionShape, Prepared>> float32Plans = new EnumMap<>(AttentionBias.class);
    private final Map<AttentionBias, Map<AttentionShape, Prepared>> bf16Plans = new EnumMap<>(AttentionBias.class);

    PatchAttentionKernels(KernelLoader loader, Tuner tuner) {
        this(loader, tuner, PatchAttentionGroup::of);
    }

    /** As above, with another choice of which heads share a tile. */
    PatchAttentionKernels(KernelLoader loader, Tuner tuner, PatchAttentionGroup.Choice group) {
        this.tuner = tuner;
        this.group = group;
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
            Way usual = way(shape, bias, dtype, false);
            known = prepare(shape, bias, dtype, tuner.measures()
                    ? List.of(usual, way(shape, bias, dtype, true)) : List.of(usual));
            plans.put(shape, known);
        }
        return known;
    }

    private Way way(AttentionShape shape, AttentionBias bias, DType dtype, boolean wide) {
        PatchAttentionPlan plan = PatchAttentionPlan.of(shape, bias, dtype, multiprocessors, group, wide);
        return new Way(plan, kernels.computeIfAbsent(plan.padded() + dtype.label() + wide,
                name -> Kernels.of(module, dtype, plan, wide)));
    }

    private Prepared prepare(AttentionShape shape, AttentionBias bias, DType dtype, List<Way> ways) {
        int d = ways.getFirst().plan.padded();
        Choice forward = tuner.choice(AttentionTrial.what(module, "forward", shape, bias, dtype),
                names(PatchAttentionTiles.hasWideForward(dtype, d)), scratch -> {
            AttentionTrial t = AttentionTrial.plan(scratch, shape, dtype,
                    most(ways, PatchAttentionPlan::forwardWorkspaceBytes));
            return works(ways, way -> forward(way, shape, t.qkv(), bias, t.out(), t.logSumExp(), t.workspace()));
        });
        Choice backward = tuner.choice(AttentionTrial.what(module, "backward", shape, bias, dtype),
                names(PatchAttentionTiles.hasWideBackwardKey(dtype, d)), scratch -> {
            AttentionTrial t = AttentionTrial.plan(scratch, shape, dtype,
                    most(ways, PatchAttentionPlan::backwardWorkspaceBytes));
            return works(ways, way -> backward(way, shape, t.qkv(), bias, t.out(), t.logSumExp(), t.dOut(), t.dQkv(),
                    t.workspace()));
        });
        return new Prepared(ways, forward, backward);
    }

    private static long most(List<Way> ways, ToLongFunction<PatchAttentionPlan> bytes) {
        return ways.stream().mapToLong(way -> bytes.applyAsLong(way.plan)).max().orElseThrow();
    }

    private static List<String> names(boolean hasWide) {
        return hasWide ? List.of("usual", "wide") : List.of("usual");
    }

    private static List<Runnable> works(List<Way> ways, Consumer<Way> work) {
        return ways.stream().map(way -> (Runnable) () -> work.accept(way)).toList();
    }

    /**
     * {@link Ops#causalAttention}.
     *
     * @param workspace at least {@link #causalAttentionWorkspaceBytes}; may be null for none
     */
    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp,
            Tensor workspace) {
        forward(prepared(shape, bias, qkv.dtype()).ofForward(), shape, qkv, bias, out, logSumExp, workspace);
    }

    private static void forward(Way way, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor workspace) {
        PatchAttentionPlan plan = way.plan;
        Tensor reach = findReach(way, shape, qkv, workspace, 0);
        PatchAttentionTiles tiles = plan.forward();
        Kernel kernel = bias == AttentionBias.ALIBI ? way.kernels.forwardAlibi : way.kernels.forward;
        kernel.grid(tiles.blocksOfQueries(shape, plan.group())).block(tiles.threads()).shared(tiles.sharedBytes())
                .arg(qkv).arg(out).arg(logSumExp);
        sizes(kernel, shape).arg(plan.groups(shape)).arg(plan.split(shape)).arg(reach);
        launch(kernel, shape, bias);
    }

    /** For how far the heads look, where that is less far than the sequence. */
    long causalAttentionWorkspaceBytes(AttentionShape shape, AttentionBias bias, DType dtype) {
        return prepared(shape, bias, dtype).forwardWorkspaceBytes();
    }

    /**
     * {@link Ops#causalAttentionBackward}.
     *
     * @param workspace at least {@link #causalAttentionBackwardWorkspaceBytes}
     */
    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        backward(prepared(shape, bias, qkv.dtype()).ofBackward(), shape, qkv, bias, out, logSumExp, dOut, dQkv,
                workspace);
    }

    private static void backward(Way way, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        PatchAttentionPlan plan = way.plan;
        Tensor reach = findReach(way, shape, qkv, workspace, plan.reachAt());
        PatchAttentionTiles rows = plan.backwardQuery();
        Kernel query = way.kernels.backwardQuery.grid(rows.blocksOfQueries(shape, plan.group()))
                .block(rows.threads()).shared(rows.sharedBytes())
                .arg(qkv).arg(out).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv);
        sizes(query, shape).arg(plan.groups(shape)).arg(plan.split(shape)).arg(reach);
        launch(query, shape, bias);
        PatchAttentionTiles keys = plan.backwardKey();
        Kernel key = way.kernels.backwardKey.grid(keys.blocksOfKeys(shape), plan.sharing()).block(keys.threads())
                .shared(keys.sharedBytes()).arg(qkv).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv)
                .arg(plan.partialsAt()).arg(plan.chunk());
        sizes(key, shape).arg(plan.pairs()).arg(reach);
        launch(key, shape, bias);
        if (plan.sharing() > 1) {
            way.kernels.sumPartials.grid(shape.rows()).block(SUM_THREADS).arg(workspace).arg(dQkv)
                    .arg(plan.partialsAt()).arg(plan.chunk()).arg((int) shape.length())
                    .arg(shape.heads() / shape.keyValueHeads()).arg(shape.keyValueWidth()).arg(shape.packedWidth())
                    .arg(keys.rows()).arg(keys.passing()).launch();
        }
    }

    /** Delta, the sums of blocks that share keys, and reach: grows with the length, not with its square. */
    long causalAttentionBackwardWorkspaceBytes(AttentionShape shape, AttentionBias bias, DType dtype) {
        return prepared(shape, bias, dtype).backwardWorkspaceBytes();
    }

    /**
     * How far each head looks.
     *
     * @param at where in the workspace, in floats
     * @return null where all look back to the beginning
     */
    private static Tensor findReach(Way way, AttentionShape shape, Tensor qkv, Tensor workspace, long at) {
        if (!way.plan.reachLimited()) {
            return null;
        }
        long heads = shape.batch() * shape.heads();
        Tensor reach = floats(workspace, at, heads);
        Tensor norms = floats(workspace, at + heads, workspace.bytes() / Float.BYTES - at - heads);
        way.kernels.norms.grid(PatchAttentionPlan.blocksOfNorms(shape)).block(REACH_THREADS).arg(qkv).arg(norms)
                .arg((int) shape.length()).arg(shape.heads() + shape.keyValueHeads()).arg(shape.headSize())
                .arg(shape.packedWidth()).launch();
        way.kernels.reach.grid(heads).block(REACH_THREADS).arg(norms).arg(reach).arg((int) shape.length())
                .arg(shape.heads()).arg(shape.keyValueHeads()).arg(scale(shape)).launch();
        return reach;
    }

    /** Of a workspace, whatever the type of its elements. */
    private static Tensor floats(Tensor workspace, long at, long count) {
        long each = Float.BYTES / workspace.dtype().bytes();
        return workspace.part(each * at, each * count);
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
