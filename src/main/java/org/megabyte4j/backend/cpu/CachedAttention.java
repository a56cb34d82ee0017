package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/** Attention of new positions to a cache of keys and values, for generation: a thread takes a head of a sequence. */
final class CachedAttention {
    private final Workers workers;
    private final Kernels kernels;

    CachedAttention(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    /** Float32 elements of workspace: a row of scores per thread. */
    static long workspace(long capacity, int threads) {
        return threads * capacity;
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment cache, long capacity,
            MemorySegment past, MemorySegment out, MemorySegment workspace) {
        append(shape, qkv, cache, capacity, past);
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        float scale = (float) (1 / Math.sqrt(size));
        long tasks = shape.rows() * shape.heads();
        workers.run((thread, threads) -> {
            MemorySegment scores = workspace.asSlice(thread * capacity << 2, capacity << 2);
            for (long task = thread; task < tasks; task += threads) {
                long row = task / shape.heads();
                int head = (int) (task % shape.heads());
                long sequence = row / shape.length();
                int visible = (int) (past.getAtIndex(JAVA_INT_UNALIGNED, sequence) + row % shape.length() + 1);
                long first = sequence * capacity;
                for (long j = 0; j < visible; j++) {
                    scores.setAtIndex(FLOAT, j, scale * kernels.dot(qkv, packed.query(row, head), cache,
                            packed.cachedKey(first + j, head), size));
                }
                float slope = bias.slope(head, shape.heads());
                if (slope != 0) {
                    kernels.addRamp(scores, 0, visible, -slope * (visible - 1), slope);
                }
                kernels.exp(scores, 0, kernels.max(scores, 0, visible), 1, scores, 0, visible);
                float sum = kernels.sum(scores, 0, visible);
                long to = packed.out(row, head);
                kernels.fill(out, to, size, 0);
                for (long j = 0; j < visible; j++) {
                    kernels.addScaled(scores.getAtIndex(FLOAT, j) / sum, cache, packed.cachedValue(first + j, head),
                            out, to, size);
                }
            }
        });
    }

    private static void append(AttentionShape shape, MemorySegment qkv, MemorySegment cache, long capacity,
            MemorySegment past) {
        long kept = shape.keyValueWidth();
        for (long row = 0; row < shape.rows(); row++) {
            long sequence = row / shape.length();
            long position = past.getAtIndex(JAVA_INT_UNALIGNED, sequence) + row % shape.length();
            if (position >= capacity) {
                throw new IndexOutOfBoundsException("position " + position + " is beyond a cache of " + capacity);
            }
            MemorySegment.copy(qkv, row * shape.packedWidth() + shape.width() << 2, cache,
                    (sequence * capacity + position) * kept << 2, kept << 2);
        }
    }
}
