package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Causal attention over long sequences, {@code kernels/patch_attention.cu}. */
final class PatchAttentionKernels {
    private static final int SUM_THREADS = 128;
    private static final int PLAIN_SHARED = 48 << 10;

    /** Of one dtype and one padded head size. */
    private record Kernels(Kernel forward, Kernel forwardAlibi, Kernel backwardQuery, Kernel backwardKey,
            Kernel sumPartials) {
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
                            PTR, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, F32), plan.backwardQuery()),
                    shared(module.kernel("patch_attention_backward_key_" + keyOf,
                            PTR, PTR, PTR, PTR, PTR, I64, I64, I32, I32, I32, I32, I32, I32, F32), plan.backwardKey()),
                    module.kernel("patch_attention_sum_partial_gradients" + suffix,
                            PTR, PTR, I64, I64, I32, I32, I32, I32, I32, I32));
        }

        private static Kernel forward(KernelModule module, String of, PatchAttentionPlan plan) {
            return shared(module.kernel("patch_attention_forward_" + of,
                    PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, F32), plan.forward());
        }

        private static Kernel shared(Kernel kernel, PatchAttentionTiles tiles) {
            return tiles.sharedBytes() > PLAIN_SHARED ? kernel.maxDynamicShared(tiles.sharedBytes()) : kernel;
        }
    }

    /** How to compute a shape in one way. */
    private record Way(PatchAttentionPlan plan, Kernels kernels) { }

    /** The ways for a shape, the usual one first, and which to go. */
    private record Prepared(List<Way> ways, Choice forward, Choice backward) {
        long workspaceBytes() {
            return ways.stream().mapToLong(way -> way.plan.workspaceBytes()).max().orElseThrow();
        }
    }

    private final KernelModule module;
    private final int multiprocessors;
    private final Tuner tuner;
    private final Map<String, Kernels> kernels = new HashMap<>();
    private final Map<AttentionShape, Prepared> float32Plans = new HashMap<>();
    private final Map<AttentionShape, Prepared> bf16Plans = new HashMap<>();

    PatchAttentionKernels(KernelLoader loader, Tuner tuner) {
        this.tuner = tuner;
        module = loader.module("patch_attention");
        multiprocessors = loader.multiprocessors();
    }

    /**
     * Readies the kernels for a shape.
     *
     * @throws ShapeException if there are none for it
     */
    void prepare(AttentionShape shape, DType dtype) {
        prepared(shape, dtype);
    }

    private Prepared prepared(AttentionShape shape, DType dtype) {
        Map<AttentionShape, Prepared> plans = dtype == DType.BF16 ? bf16Plans : float32Plans;
        Prepared known = plans.get(shape);
        if (known == null) {
            known = prepare(shape, dtype, tuner.measures()
                    ? List.of(way(shape, dtype, false), way(shape, dtype, true)) : List.of(way(shape, dtype, false)));
            plans.put(shape, known);
        }
        return known;
    }

    private Way way(AttentionShape shape, DType dtype, boolean wide) {
        PatchAttentionPlan plan = PatchAttentionPlan.of(shape, dtype, multiprocessors, wide);
        return new Way(plan, kernels.computeIfAbsent(plan.padded() + dtype.label() + wide,
                name -> Kernels.of(module, dtype, plan, wide)));
    }

    private Prepared prepare(AttentionShape shape, DType dtype, List<Way> ways) {
        int d = ways.getFirst().plan.padded();
        Choice forward = tuner.choice(AttentionTrial.what(module, "forward", shape, dtype),
                names(PatchAttentionTiles.hasWideForward(dtype, d)), scratch -> {
            AttentionTrial t = AttentionTrial.plan(scratch, shape, dtype, 0);
            return works(ways, way -> forward(way, shape, t.qkv(), AttentionTrial.BIAS, t.out(), t.logSumExp()));
        });
        Choice backward = tuner.choice(AttentionTrial.what(module, "backward", shape, dtype),
                names(PatchAttentionTiles.hasWideBackwardKey(dtype, d)), scratch -> {
            long bytes = Math.max(ways.getFirst().plan.workspaceBytes(), ways.getLast().plan.workspaceBytes());
            AttentionTrial t = AttentionTrial.plan(scratch, shape, dtype, bytes);
            return works(ways, way -> backward(way, shape, t.qkv(), AttentionTrial.BIAS, t.out(), t.logSumExp(),
                    t.dOut(), t.dQkv(), t.workspace()));
        });
        return new Prepared(ways, forward, backward);
    }

    private static List<String> names(boolean hasWide) {
        return hasWide ? List.of("usual", "wide") : List.of("usual");
    }

    private static List<Runnable> works(List<Way> ways, Consumer<Way> work) {
        return ways.stream().map(way -> (Runnable) () -> work.accept(way)).toList();
    }

    /** {@link Ops#causalAttention}. */
    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        Prepared prepared = prepared(shape, qkv.dtype());
        forward(prepared.ways.get(prepared.forward.taken()), shape, qkv, bias, out, logSumExp);
    }

    private static void forward(Way way, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp) {
        PatchAttentionTiles tiles = way.plan.forward();
        Kernel kernel = bias == AttentionBias.ALIBI ? way.kernels.forwardAlibi : way.kernels.forward;
        kernel.grid(tiles.blocksOfQueries(shape)).block(tiles.threads()).shared(tiles.sharedBytes())
                .arg(qkv).arg(out).arg(logSumExp);
        launch(kernel, shape, way.plan, bias);
    }

    /**
     * {@link Ops#causalAttentionBackward}.
     *
     * @param workspace at least {@link #causalAttentionBackwardWorkspaceBytes}
     */
    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        Prepared prepared = prepared(shape, qkv.dtype());
        backward(prepared.ways.get(prepared.backward.taken()), shape, qkv, bias, out, logSumExp, dOut, dQkv, workspace);
    }

    private static void backward(Way way, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
        PatchAttentionPlan plan = way.plan;
        PatchAttentionTiles rows = plan.backwardQuery();
        Kernel query = way.kernels.backwardQuery.grid(rows.blocksOfQueries(shape)).block(rows.threads())
                .shared(rows.sharedBytes()).arg(qkv).arg(out).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv);
        launch(query, shape, plan, bias);
        PatchAttentionTiles keys = plan.backwardKey();
        Kernel key = way.kernels.backwardKey.grid(keys.blocksOfKeys(shape), plan.sharing()).block(keys.threads())
                .shared(keys.sharedBytes()).arg(qkv).arg(logSumExp).arg(dOut).arg(workspace).arg(dQkv)
                .arg(plan.partialsAt()).arg(plan.chunk());
        launch(key, shape, plan, bias);
        if (plan.sharing() > 1) {
            way.kernels.sumPartials.grid(shape.rows()).block(SUM_THREADS).arg(workspace).arg(dQkv)
                    .arg(plan.partialsAt()).arg(plan.chunk()).arg((int) shape.length())
                    .arg(shape.heads() / shape.keyValueHeads()).arg(shape.keyValueWidth()).arg(shape.packedWidth())
                    .arg(keys.rows()).arg(keys.passing()).launch();
        }
    }

    /** The arguments that all kernels end with. */
    private static void launch(Kernel kernel, AttentionShape shape, PatchAttentionPlan plan, AttentionBias bias) {
        kernel.arg((int) shape.length()).arg(shape.heads()).arg(shape.keyValueHeads()).arg(shape.headSize())
                .arg(plan.pairs()).arg(bias == AttentionBias.ALIBI ? 1 : 0)
                .arg((float) (1 / Math.sqrt(shape.headSize()))).launch();
    }

    /** Delta, and the sums of blocks that share keys: grows with the length, not with its square. */
    long causalAttentionBackwardWorkspaceBytes(AttentionShape shape, DType dtype) {
        return prepared(shape, dtype).workspaceBytes();
    }
}
