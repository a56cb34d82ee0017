package org.megabyte4j.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Attention of new positions to a cache of keys and values, for generation: a thread takes a head of a position. With
 * ALiBi a head goes back only as far as it looks ({@link AttentionBias#reach}), from the largest norm among the cache's
 * keys; finding that is one pass over them for all new positions and heads.
 */
final class CachedAttention {
    /** What is left out comes in whole runs of vectors, so that the others are summed as ever. */
    private static final int ALIGNMENT = 64;

    private final Workers workers;
    private final Kernels kernels;

    CachedAttention(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    /** Float32 elements of workspace: for each thread a row of scores, and of each key head its largest norm. */
    static long workspace(AttentionShape shape, long capacity, int threads) {
        return threads * (capacity + shape.batch() * shape.keyValueHeads());
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment cache, long capacity,
            MemorySegment past, MemorySegment out, MemorySegment workspace) {
        append(shape, qkv, cache, capacity, past);
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        float scale = (float) (1 / Math.sqrt(size));
        long rows = shape.rows();
        MemorySegment norms = workspace.asSlice(workers.threads() * capacity << 2);
        boolean limited = bias.vanishesWithin(longest(shape, past), shape.heads());
        if (limited) {
            findNorms(shape, cache, capacity, past, norms);
        }
        workers.run((thread, threads) -> {
            MemorySegment scores = workspace.asSlice(thread * capacity << 2, capacity << 2);
            // Heads look back differently far, so each row begins with another one.
            for (long task = 0; task < rows * shape.heads(); task++) {
                long row = task / shape.heads();
                int head = (int) (task % shape.heads());
                if ((row + head) % threads != thread) {
                    continue;
                }
                long sequence = row / shape.length();
                long last = past.getAtIndex(JAVA_INT_UNALIGNED, sequence) + row % shape.length();
                long from = 0;
                if (limited) {
                    long query = packed.query(row, head);
                    from = AttentionReach.firstSeen(shape, bias, head, kernels.dot(qkv, query, qkv, query, size),
                            largest(norms, shape, sequence, packed.keyValueHead(head)), last, last + 1)
                            / ALIGNMENT * ALIGNMENT;
                }
                int visible = (int) (last + 1 - from);
                long first = sequence * capacity + from;
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

    private static long longest(AttentionShape shape, MemorySegment past) {
        long longest = 0;
        for (long sequence = 0; sequence < shape.batch(); sequence++) {
            longest = Math.max(longest, past.getAtIndex(JAVA_INT_UNALIGNED, sequence) + shape.length());
        }
        return longest;
    }

    /** The squares of the largest norms in each thread's share of the keys, {@code [threads, batch, key heads]}. */
    private void findNorms(AttentionShape shape, MemorySegment cache, long capacity, MemorySegment past,
            MemorySegment norms) {
        PackedRows packed = new PackedRows(shape);
        int group = shape.heads() / shape.keyValueHeads();
        long heads = shape.batch() * shape.keyValueHeads();
        workers.run((thread, threads) -> {
            for (long i = 0; i < heads; i++) {
                long sequence = i / shape.keyValueHeads();
                int head = (int) (i % shape.keyValueHeads()) * group;
                long keys = past.getAtIndex(JAVA_INT_UNALIGNED, sequence) + shape.length();
                float largest = 0;
                for (long key = thread; key < keys; key += threads) {
                    long at = packed.cachedKey(sequence * capacity + key, head);
                    largest = AttentionReach.larger(largest, kernels.dot(cache, at, cache, at, shape.headSize()));
                }
                norms.setAtIndex(FLOAT, thread * heads + i, largest);
            }
        });
    }

    private float largest(MemorySegment norms, AttentionShape shape, long sequence, int keyValueHead) {
        float largest = 0;
        long heads = shape.batch() * shape.keyValueHeads();
        for (int thread = 0; thread < workers.threads(); thread++) {
            largest = AttentionReach.larger(largest,
                    norms.getAtIndex(FLOAT, thread * heads + sequence * shape.keyValueHeads() + keyValueHead));
        }
        return largest;
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
