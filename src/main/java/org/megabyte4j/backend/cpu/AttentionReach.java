package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * How far back the heads of one attention look ({@link AttentionBias#reach}), from the largest norms of their queries
 * and keys. Over a million positions ALiBi's steep heads see a few hundred of them.
 */
final class AttentionReach {
    private final AttentionShape shape;
    private final AttentionBias bias;
    private final PackedRows packed;
    private final MemorySegment norms;    // [batch, heads + key/value heads]: the squares of the largest
    private final boolean limited;

    private AttentionReach(AttentionShape shape, AttentionBias bias, MemorySegment norms) {
        this.shape = shape;
        this.bias = bias;
        this.norms = norms;
        packed = new PackedRows(shape);
        limited = bias.vanishesWithin(shape.length(), shape.heads());
    }

    /** Float32 elements of workspace. */
    static long workspace(AttentionShape shape) {
        return shape.batch() * (shape.heads() + shape.keyValueHeads());
    }

    /** @param workspace keeps what is found */
    static AttentionReach find(AttentionShape shape, AttentionBias bias, MemorySegment qkv, MemorySegment workspace,
            Workers workers, Kernels kernels) {
        AttentionReach reach = new AttentionReach(shape, bias, workspace);
        if (reach.limited) {
            workers.run((thread, threads) -> {
                for (long i = thread; i < workspace(shape); i += threads) {
                    reach.findNorm(qkv, kernels, i);
                }
            });
        }
        return reach;
    }

    private void findNorm(MemorySegment qkv, Kernels kernels, long index) {
        int heads = shape.heads() + shape.keyValueHeads();
        long first = index / heads * shape.length();
        int head = (int) (index % heads);
        float largest = 0;
        for (long row = first; row < first + shape.length(); row++) {
            long at = packed.query(row, head);
            largest = larger(largest, kernels.dot(qkv, at, qkv, at, shape.headSize()));
        }
        norms.setAtIndex(FLOAT, index, largest);
    }

    /** The larger of two; a NaN stays, and nothing is left out then. */
    static float larger(float a, float b) {
        return b <= a ? a : Math.max(a, b);
    }

    /** The first position that a query of this head may have to look at. */
    long firstSeen(long sequence, int head, long position) {
        if (!limited) {
            return 0;
        }
        long row = sequence * (shape.heads() + shape.keyValueHeads());
        return firstSeen(shape, bias, head, norms.getAtIndex(FLOAT, row + head),
                norms.getAtIndex(FLOAT, row + shape.heads() + packed.keyValueHead(head)), position, shape.length());
    }

    /**
     * The first position that a query may have to look at.
     *
     * @param query  square of the largest norm
     * @param key    the same, among all keys before
     * @param length positions in the sequence
     */
    static long firstSeen(AttentionShape shape, AttentionBias bias, int head, double query, double key, long position,
            long length) {
        double largestScore = Math.sqrt(query * key / shape.headSize());
        return Math.max(0, position - bias.reach(head, shape.heads(), largestScore, length));
    }
}
