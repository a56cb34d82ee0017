package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/**
 * Attention with a cache, for generation, {@code kernels/cached_attention.cu}. How many positions a cache holds is
 * known to the device alone, so launches follow from its capacity.
 */
final class CachedAttentionKernels {
    private static final int[] SIZES = {32, 64, 128};
    private static final int LONGEST_HEAD = 128;
    /** Query rows of a block. */
    private static final int TILE = 16;
    /** Positions that a warp takes at a time, and warps of a block at most. */
    private static final int KEYS = 16;
    private static final int MOST_WARPS = 8;
    private static final int WARP = 32;
    /** Positions for which another block is worth adding up its results. */
    private static final int SPLIT = 256;
    private static final int BLOCKS_PER_MULTIPROCESSOR = 2;

    private static final int CORE_THREADS = 128;
    /** Positions at a time in float32 arithmetic. */
    private static final int CORE_STEP = 32;
    private static final int COMBINE_THREADS = 256;

    private final Kernel[] tensorCores = new Kernel[SIZES.length];
    private final Kernel cores;
    private final Kernel coresBf16;
    private final Kernel combine;
    private final Kernel combineBf16;
    private final int multiprocessors;

    CachedAttentionKernels(KernelLoader loader) {
        KernelModule module = loader.module("cached_attention");
        for (int i = 0; i < SIZES.length; i++) {
            tensorCores[i] = attend(module, "cached_attention_" + SIZES[i] + "_bf16");
        }
        cores = attend(module, "cached_attention_cores_f32");
        coresBf16 = attend(module, "cached_attention_cores_bf16");
        combine = combine(module, "cached_attention_combine_f32");
        combineBf16 = combine(module, "cached_attention_combine_bf16");
        multiprocessors = loader.multiprocessors();
    }

    private static Kernel attend(KernelModule module, String name) {
        return module.kernel(name, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32, I32, I32, I32, F32, I32);
    }

    private static Kernel combine(KernelModule module, String name) {
        return module.kernel(name, PTR, PTR, I32, I32, I32, I32, I32, I32, I32, F32, I32);
    }

    /** {@link Ops#cachedAttention}. */
    void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out, Tensor workspace) {
        long capacity = cache.size(1);
        int splits = splits(shape, capacity, multiprocessors);
        boolean half = qkv.dtype() == DType.BF16;
        boolean vectors = Launches.vectors(qkv, shape.headSize()) && Launches.vectors(cache, shape.headSize())
                && Launches.vectors(out, shape.headSize());
        Kernel kernel = half && vectors
                ? tensorCores[shape.headSize() <= 32 ? 0 : shape.headSize() <= 64 ? 1 : 2]
                : half ? coresBf16 : cores;
        kernel.grid(units(shape) * splits);
        if (half && vectors) {
            kernel.block(WARP * warps(capacity));
        } else {
            int stride = 4 * (Math.ceilDiv(shape.headSize(), 4) | 1);
            kernel.block(CORE_THREADS).shared(((2 * CORE_STEP + TILE) * stride + TILE * CORE_STEP) * Float.BYTES);
        }
        sizes(kernel.arg(qkv).arg(cache).arg(past).arg(out).arg(workspace), shape, capacity, splits, bias).launch();
        if (splits > 1) {
            Kernel adding = half ? combineBf16 : combine;
            adding.grid(shape.rows() * shape.heads()).block(COMBINE_THREADS);
            sizes(adding.arg(workspace).arg(out), shape, capacity, splits, bias).launch();
        }
    }

    /** Where blocks leave what is still to be added up. */
    long cachedAttentionWorkspaceBytes(AttentionShape shape, long capacity) {
        if (shape.headSize() > LONGEST_HEAD) {
            throw new ShapeException("attention with a cache and heads of size " + shape.headSize()
                    + " is not possible on CUDA; at most " + LONGEST_HEAD + " is");
        }
        int splits = splits(shape, capacity, multiprocessors);
        return splits == 1 ? 0 : Float.BYTES * shape.rows() * shape.heads() * splits * (shape.headSize() + 2L);
    }

    /** Blocks before the sequences are split. */
    private static long units(AttentionShape shape) {
        long rows = shape.length() * (shape.heads() / shape.keyValueHeads());
        return shape.batch() * shape.keyValueHeads() * Math.ceilDiv(rows, (long) TILE);
    }

    /** Into how many parts each sequence is split: enough to keep the GPU busy, if they are long enough. */
    static int splits(AttentionShape shape, long capacity, int multiprocessors) {
        long wanted = Math.ceilDiv((long) BLOCKS_PER_MULTIPROCESSOR * multiprocessors, units(shape));
        return (int) Math.max(1, Math.min(wanted, Math.ceilDiv(capacity, (long) SPLIT)));
    }

    /** A power of two, since warps add up their results in pairs; no more than have positions to see. */
    private static int warps(long capacity) {
        int warps = 1;
        while (warps < MOST_WARPS && warps * KEYS < capacity) {
            warps *= 2;
        }
        return warps;
    }

    private static Kernel sizes(Kernel kernel, AttentionShape shape, long capacity, int splits, AttentionBias bias) {
        return kernel.arg(Math.toIntExact(shape.batch())).arg(Math.toIntExact(shape.length())).arg(shape.heads())
                .arg(shape.keyValueHeads()).arg(shape.headSize()).arg(Math.toIntExact(capacity)).arg(splits)
                .arg((float) (1 / Math.sqrt(shape.headSize()))).arg(bias == AttentionBias.ALIBI ? 1 : 0);
    }
}
