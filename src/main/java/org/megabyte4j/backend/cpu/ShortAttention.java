package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Causal attention over many short sequences, such as the bytes of patches: a thread takes whole sequences, whose rows
 * all stay in its nearest cache.
 */
final class ShortAttention {
    /** Longest sequence for which products of single heads beat those of whole tiles. */
    static final int LONGEST = 32;

    private final Workers workers;
    private final Kernels kernels;

    ShortAttention(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    /** Float32 elements of workspace: two rows of scores per thread. */
    static long workspace(int threads) {
        return threads * 2L * LONGEST;
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment workspace) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int length = (int) shape.length();
        float scale = (float) (1 / Math.sqrt(size));
        workers.run((thread, threads) -> {
            MemorySegment scores = workspace.asSlice(thread * 2L * LONGEST << 2, 2L * LONGEST << 2);
            long end = shape.batch() * (thread + 1) / threads;
            for (long sequence = shape.batch() * thread / threads; sequence < end; sequence++) {
                long first = sequence * length;
                for (int head = 0; head < shape.heads(); head++) {
                    float slope = bias.slope(head, shape.heads());
                    for (int i = 0; i < length; i++) {
                        long query = packed.query(first + i, head);
                        for (int j = 0; j <= i; j++) {
                            float dot = kernels.dot(qkv, query, qkv, packed.key(first + j, head), size);
                            scores.setAtIndex(FLOAT, j, Math.fma(dot, scale, -slope * (i - j)));
                        }
                        float largest = kernels.max(scores, 0, i + 1);
                        kernels.exp(scores, 0, largest, 1, scores, 0, i + 1);
                        float sum = kernels.sum(scores, 0, i + 1);
                        long to = packed.out(first + i, head);
                        kernels.fill(out, to, size, 0);
                        for (int j = 0; j <= i; j++) {
                            kernels.addScaled(scores.getAtIndex(FLOAT, j) / sum, qkv, packed.value(first + j, head),
                                    out, to, size);
                        }
                        lse.setAtIndex(FLOAT, (sequence * shape.heads() + head) * length + i,
                                (float) (largest + Math.log(sum)));
                    }
                }
            }
        });
    }

    void backward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment dOut, MemorySegment dQkv) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int length = (int) shape.length();
        float scale = (float) (1 / Math.sqrt(size));
        workers.run((thread, threads) -> {
            long from = shape.batch() * thread / threads;
            long end = shape.batch() * (thread + 1) / threads;
            for (long sequence = from; sequence < end; sequence++) {
                long first = sequence * length;
                kernels.fill(dQkv, first * shape.packedWidth(), length * shape.packedWidth(), 0);
                for (int head = 0; head < shape.heads(); head++) {
                    float slope = bias.slope(head, shape.heads());
                    for (int i = 0; i < length; i++) {
                        long query = packed.query(first + i, head);
                        long row = packed.out(first + i, head);
                        float logSumExp = lse.getAtIndex(FLOAT, (sequence * shape.heads() + head) * length + i);
                        float delta = kernels.dot(dOut, row, out, row, size);
                        for (int j = 0; j <= i; j++) {
                            long key = packed.key(first + j, head);
                            long value = packed.value(first + j, head);
                            float dot = kernels.dot(qkv, query, qkv, key, size);
                            float p = FloatMath.exp(Math.fma(dot, scale, -slope * (i - j)) - logSumExp);
                            float dP = kernels.dot(dOut, row, qkv, value, size);
                            float dScore = p * (dP - delta) * scale;
                            kernels.addScaled(p, dOut, row, dQkv, value, size);
                            kernels.addScaled(dScore, qkv, query, dQkv, key, size);
                            kernels.addScaled(dScore, qkv, key, dQkv, query, size);
                        }
                    }
                }
            }
        });
    }
}
