package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Causal attention over many short sequences, such as the bytes of patches: a thread takes whole sequences, whose rows
 * all stay in its nearest cache. Keys and values are transposed once for all heads that share them, so that a row of
 * scores is a sum of a few vectors, as a row of the result is.
 */
final class ShortAttention {
    /** Longest sequence for which products of single rows beat those of whole tiles. */
    static final int LONGEST = 32;
    /** Rows of scores are padded to a multiple of this: whole vectors of every machine, or else loops run by element. */
    private static final int PADDING = 16;

    private final Workers workers;
    private final Kernels kernels;

    ShortAttention(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    /** Float32 elements of workspace, forward as backward. */
    static long workspace(AttentionShape shape, int threads) {
        return threads * Scratch.elements(shape);
    }

    /** One thread's workspace; rows are {@link #width} elements. */
    private static final class Scratch {
        private final MemorySegment memory;
        private final AttentionShape shape;
        private final int width;
        private final long keys;        // [head size, width], transposed and scaled
        private final long values;      // [head size, width], transposed
        private final long scores;      // [length, width]
        private final long gradients;   // [length, width]
        private final long bias;        // [heads, length, width], -infinity where a key is behind the query

        Scratch(AttentionShape shape, MemorySegment workspace, int thread) {
            this.shape = shape;
            memory = workspace.asSlice(thread * elements(shape) << 2, elements(shape) << 2);
            width = width(shape);
            keys = 0;
            values = keys + (long) shape.headSize() * width;
            scores = values + (long) shape.headSize() * width;
            gradients = scores + shape.length() * width;
            bias = gradients + shape.length() * width;
        }

        private static int width(AttentionShape shape) {
            return ((int) shape.length() + PADDING - 1) / PADDING * PADDING;
        }

        private static long elements(AttentionShape shape) {
            return width(shape) * (2L * shape.headSize() + (2L + shape.heads()) * shape.length());
        }

        /** A square of scores, for a sum over keys. */
        Kernels.Weights rows(long at) {
            int length = (int) shape.length();
            return new Kernels.Weights(memory, at, length, width, length, 1);
        }

        /** The same, for a sum over queries. */
        Kernels.Weights columns(long at) {
            int length = (int) shape.length();
            return new Kernels.Weights(memory, at, length, 1, length, width);
        }

        /** Writes what no sequence changes: the bias, and zeros behind the ends of the transposed rows. */
        void prepare(AttentionBias kind) {
            memory.asSlice(0, scores << 2).fill((byte) 0);
            int length = (int) shape.length();
            for (int head = 0; head < shape.heads(); head++) {
                float slope = kind.slope(head, shape.heads());
                for (int i = 0; i < length; i++) {
                    for (int j = 0; j < width; j++) {
                        memory.setAtIndex(FLOAT, bias(head, i) + j,
                                j <= i ? -slope * (i - j) : Float.NEGATIVE_INFINITY);
                    }
                }
            }
        }

        private long bias(int head, int query) {
            return bias + (head * shape.length() + query) * width;
        }
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment workspace) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int length = (int) shape.length();
        float scale = (float) (1 / Math.sqrt(size));
        workers.run((thread, threads) -> {
            Scratch own = new Scratch(shape, workspace, thread);
            own.prepare(bias);
            long end = shape.batch() * (thread + 1) / threads;
            for (long sequence = shape.batch() * thread / threads; sequence < end; sequence++) {
                long first = sequence * length;
                for (int head = 0; head < shape.heads(); head++) {
                    if (packed.beginsGroup(head)) {
                        kernels.transpose(scale, qkv, packed.key(first, head), length, shape.packedWidth(), size,
                                own.memory, own.keys, own.width);
                    }
                    scores(own, packed, qkv, first, head);
                    kernels.softmaxRows(own.memory, own.scores, length, own.width, lse,
                            (sequence * shape.heads() + head) * length);
                    kernels.product(own.rows(own.scores), qkv, packed.value(first, head), shape.packedWidth(), out,
                            packed.out(first, head), shape.width(), size, false);
                }
            }
        });
    }

    /** Products of a head's queries with its keys, scaled and biased. */
    private void scores(Scratch own, PackedRows packed, MemorySegment qkv, long first, int head) {
        AttentionShape shape = packed.shape();
        int length = (int) shape.length();
        MemorySegment.copy(own.memory, own.bias(head, 0) << 2, own.memory, own.scores << 2,
                (long) length * own.width << 2);
        kernels.product(new Kernels.Weights(qkv, packed.query(first, head), length, shape.packedWidth(), shape.headSize(), 1),
                own.memory, own.keys, own.width, own.memory, own.scores, own.width, own.width, true);
    }

    void backward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment dOut, MemorySegment dQkv, MemorySegment workspace) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int length = (int) shape.length();
        float scale = (float) (1 / Math.sqrt(size));
        workers.run((thread, threads) -> {
            Scratch own = new Scratch(shape, workspace, thread);
            own.prepare(bias);
            long end = shape.batch() * (thread + 1) / threads;
            for (long sequence = shape.batch() * thread / threads; sequence < end; sequence++) {
                long first = sequence * length;
                for (int head = 0; head < shape.heads(); head++) {
                    if (packed.beginsGroup(head)) {
                        kernels.transpose(scale, qkv, packed.key(first, head), length, shape.packedWidth(), size,
                                own.memory, own.keys, own.width);
                        kernels.transpose(1, qkv, packed.value(first, head), length, shape.packedWidth(), size,
                                own.memory, own.values, own.width);
                    }
                    scores(own, packed, qkv, first, head);
                    kernels.expRows(own.memory, own.scores, length, own.width, lse,
                            (sequence * shape.heads() + head) * length);
                    kernels.product(new Kernels.Weights(dOut, packed.out(first, head), length, shape.width(), size, 1),
                            own.memory, own.values, own.width, own.memory, own.gradients, own.width, own.width, false);
                    for (int i = 0; i < length; i++) {
                        long row = (long) i * own.width;
                        long result = packed.out(first + i, head);
                        kernels.softmaxBackward(own.memory, own.scores + row, own.memory, own.gradients + row, own.width,
                                kernels.dot(dOut, result, out, result, size), scale);
                    }
                    kernels.product(own.rows(own.gradients), qkv, packed.key(first, head), shape.packedWidth(), dQkv,
                            packed.query(first, head), shape.packedWidth(), size, false);
                    boolean add = !packed.beginsGroup(head);
                    kernels.product(own.columns(own.gradients), qkv, packed.query(first, head), shape.packedWidth(),
                            dQkv, packed.key(first, head), shape.packedWidth(), size, add);
                    kernels.product(own.columns(own.scores), dOut, packed.out(first, head), shape.width(), dQkv,
                            packed.value(first, head), shape.packedWidth(), size, add);
                }
            }
        });
    }
}
