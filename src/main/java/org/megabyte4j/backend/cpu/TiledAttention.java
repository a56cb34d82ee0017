package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Causal attention over long sequences: blocks of queries against blocks of keys, with an online softmax (Milakov and
 * Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). Nothing grows with the square of the length.
 * Blocks above the diagonal are skipped, and those further back than {@link AttentionReach} says; within a block on the
 * diagonal each row stops at its own position.
 *
 * <p>Forward: a task is one block of queries of one head. Backward: a task is one part of all those blocks of one
 * sequence, so that the gradients of the shared keys and values are summed in a fixed order; each part has a buffer of
 * its own, and the parts' buffers are added up at the end. A head's blocks go to threads and parts in turn, and each
 * head begins with another one: heads look back differently far, and later blocks further than early ones.
 */
final class TiledAttention {
    static final int BLOCK = 128;

    private final Workers workers;
    private final Kernels kernels;
    private final Gemm gemm;

    TiledAttention(Workers workers, Kernels kernels, Gemm gemm) {
        this.workers = workers;
        this.kernels = kernels;
        this.gemm = gemm;
    }

    /** Float32 elements that one thread needs in forward: a tile of scores, a maximum and a sum for each row. */
    private static long forwardElements(AttentionShape shape) {
        long block = Math.min(BLOCK, shape.length());
        return block * block + 2 * block;
    }

    /** Float32 elements that one thread needs in backward: two tiles. */
    private static long backwardElements(AttentionShape shape) {
        long block = Math.min(BLOCK, shape.length());
        return 2 * block * block;
    }

    /** Float32 elements of workspace for forward. */
    static long forwardWorkspace(AttentionShape shape, int threads) {
        return AttentionReach.workspace(shape) + threads * forwardElements(shape);
    }

    /** Float32 elements of workspace for backward. */
    static long backwardWorkspace(AttentionShape shape, int threads) {
        return AttentionReach.workspace(shape) + threads * backwardElements(shape)
                + parts(shape, threads) * shape.rows() * shape.keyValueWidth();
    }

    /** Parts that a sequence's backward is split into: enough to occupy the threads. */
    private static int parts(AttentionShape shape, int threads) {
        return (int) Math.min(shape.heads() * blocks(shape), Math.ceilDiv(threads, Math.min(threads, shape.batch())));
    }

    private static long blocks(AttentionShape shape) {
        return Math.ceilDiv(shape.length(), BLOCK);
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment workspace) {
        AttentionReach reach = AttentionReach.find(shape, bias, qkv, workspace, workers, kernels);
        long heads = shape.batch() * shape.heads();
        long scratch = forwardElements(shape);
        workers.run((thread, threads) -> {
            MemorySegment own = at(workspace, AttentionReach.workspace(shape) + thread * scratch);
            // Long blocks first, so that the threads end together.
            for (long block = blocks(shape) - 1; block >= 0; block--) {
                for (long head = 0; head < heads; head++) {
                    if ((block + head) % threads == thread) {
                        forwardBlock(shape, qkv, bias, reach, out, lse, own, head / shape.heads(),
                                (int) (head % shape.heads()), block);
                    }
                }
            }
        });
    }

    private void forwardBlock(AttentionShape shape, MemorySegment qkv, AttentionBias bias, AttentionReach reach,
            MemorySegment out, MemorySegment lse, MemorySegment own, long sequence, int head, long block) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int width = shape.packedWidth();
        float slope = bias.slope(head, shape.heads());
        float scale = (float) (1 / Math.sqrt(size));
        long start = block * BLOCK;
        int rows = (int) Math.min(BLOCK, shape.length() - start);
        long first = sequence * shape.length();
        long tile = Math.min(BLOCK, shape.length());
        MemorySegment largest = own.asSlice(tile * tile << 2, tile << 2);
        MemorySegment sums = own.asSlice(tile * tile + tile << 2, tile << 2);
        kernels.fill(largest, 0, rows, Float.NEGATIVE_INFINITY);
        kernels.fill(sums, 0, rows, 0);
        long firstKeys = reach.firstSeen(sequence, head, start) / BLOCK * BLOCK;
        for (long keys = firstKeys; keys <= start; keys += BLOCK) {
            int columns = (int) Math.min(BLOCK, shape.length() - keys);
            gemm.multiply(false, true, rows, columns, size, scale, at(qkv, packed.query(first + start, head)), width,
                    at(qkv, packed.key(first + keys, head)), width, 0, own, columns);
            for (int r = 0; r < rows; r++) {
                int visible = (int) Math.min(columns, start + r - keys + 1);
                long row = (long) r * columns;
                if (slope != 0) {
                    kernels.addRamp(own, row, visible, slope * (keys - start - r), slope);
                }
                float before = largest.getAtIndex(FLOAT, r);
                float now = Math.max(before, kernels.max(own, row, visible));
                kernels.exp(own, row, now, 1, own, row, visible);
                float sum = kernels.sum(own, row, visible);
                kernels.fill(own, row + visible, columns - visible, 0);
                long to = packed.out(first + start + r, head);
                if (keys == firstKeys) {
                    kernels.fill(out, to, size, 0);
                } else if (now > before) {
                    float factor = FloatMath.exp(before - now);
                    kernels.scale(out, to, size, factor);
                    sums.setAtIndex(FLOAT, r, sums.getAtIndex(FLOAT, r) * factor);
                }
                largest.setAtIndex(FLOAT, r, now);
                sums.setAtIndex(FLOAT, r, sums.getAtIndex(FLOAT, r) + sum);
            }
            gemm.multiply(false, false, rows, size, columns, 1, own, columns, at(qkv, packed.value(first + keys, head)),
                    width, 1, at(out, packed.out(first + start, head)), shape.width());
        }
        for (int r = 0; r < rows; r++) {
            float sum = sums.getAtIndex(FLOAT, r);
            kernels.scale(out, packed.out(first + start + r, head), size, 1 / sum);
            lse.setAtIndex(FLOAT, (sequence * shape.heads() + head) * shape.length() + start + r,
                    (float) (largest.getAtIndex(FLOAT, r) + Math.log(sum)));
        }
    }

    void backward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment dOut, MemorySegment dQkv, MemorySegment workspace) {
        int parts = parts(shape, workers.threads());
        long tasks = shape.batch() * parts;
        long scratch = backwardElements(shape);
        long partElements = shape.rows() * shape.keyValueWidth();
        AttentionReach reach = AttentionReach.find(shape, bias, qkv, workspace, workers, kernels);
        MemorySegment tiles = at(workspace, AttentionReach.workspace(shape));
        MemorySegment sums = at(tiles, workers.threads() * scratch);
        workers.run((thread, threads) -> {
            MemorySegment own = tiles.asSlice(thread * scratch << 2, scratch << 2);
            for (long task = thread; task < tasks; task += threads) {
                long sequence = task / parts;
                int part = (int) (task % parts);
                MemorySegment dKeysValues = sums.asSlice(part * partElements << 2, partElements << 2);
                for (long row = sequence * shape.length(); row < (sequence + 1) * shape.length(); row++) {
                    kernels.fill(dKeysValues, row * shape.keyValueWidth(), shape.keyValueWidth(), 0);
                }
                for (int head = 0; head < shape.heads(); head++) {
                    for (long block = 0; block < blocks(shape); block++) {
                        if ((block + head) % parts == part) {
                            backwardBlock(shape, qkv, bias, reach, out, lse, dOut, dQkv, dKeysValues, own, sequence,
                                    head, block);
                        }
                    }
                }
            }
        });
        int kept = shape.keyValueWidth();
        workers.forRange(shape.rows(), 16, (from, to) -> {
            for (long row = from; row < to; row++) {
                long target = row * shape.packedWidth() + shape.width();
                MemorySegment.copy(sums, row * kept << 2, dQkv, target << 2, (long) kept << 2);
                for (int part = 1; part < parts; part++) {
                    kernels.add(sums, part * partElements + row * kept, dQkv, target, kept);
                }
            }
        });
    }

    private void backwardBlock(AttentionShape shape, MemorySegment qkv, AttentionBias bias, AttentionReach reach,
            MemorySegment out, MemorySegment lse, MemorySegment dOut, MemorySegment dQkv, MemorySegment dKeysValues,
            MemorySegment own, long sequence, int head, long block) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int width = shape.packedWidth();
        int kept = shape.keyValueWidth();
        float slope = bias.slope(head, shape.heads());
        float scale = (float) (1 / Math.sqrt(size));
        long first = sequence * shape.length();
        long tile = Math.min(BLOCK, shape.length());
        MemorySegment gradients = own.asSlice(tile * tile << 2);
        long start = block * BLOCK;
        int rows = (int) Math.min(BLOCK, shape.length() - start);
        MemorySegment queries = at(qkv, packed.query(first + start, head));
        MemorySegment dQueries = at(dQkv, packed.query(first + start, head));
        MemorySegment dResult = at(dOut, packed.out(first + start, head));
        long firstKeys = reach.firstSeen(sequence, head, start) / BLOCK * BLOCK;
        for (long keys = firstKeys; keys <= start; keys += BLOCK) {
            int columns = (int) Math.min(BLOCK, shape.length() - keys);
            MemorySegment keyRows = at(qkv, packed.key(first + keys, head));
            gemm.multiply(false, true, rows, columns, size, scale, queries, width, keyRows, width, 0, own, columns);
            gemm.multiply(false, true, rows, columns, size, 1, dResult, shape.width(),
                    at(qkv, packed.value(first + keys, head)), width, 0, gradients, columns);
            for (int r = 0; r < rows; r++) {
                int visible = (int) Math.min(columns, start + r - keys + 1);
                long row = (long) r * columns;
                long at = packed.out(first + start + r, head);
                if (slope != 0) {
                    kernels.addRamp(own, row, visible, slope * (keys - start - r), slope);
                }
                float logSumExp = lse.getAtIndex(FLOAT,
                        (sequence * shape.heads() + head) * shape.length() + start + r);
                kernels.exp(own, row, logSumExp, 1, own, row, visible);
                kernels.softmaxBackward(own, row, gradients, row, visible, kernels.dot(dOut, at, out, at, size), scale);
                kernels.fill(own, row + visible, columns - visible, 0);
                kernels.fill(gradients, row + visible, columns - visible, 0);
            }
            gemm.multiply(true, false, columns, size, rows, 1, own, columns, dResult, shape.width(), 1,
                    at(dKeysValues, packed.cachedValue(first + keys, head)), kept);
            gemm.multiply(true, false, columns, size, rows, 1, gradients, columns, queries, width, 1,
                    at(dKeysValues, packed.cachedKey(first + keys, head)), kept);
            gemm.multiply(false, false, rows, size, columns, 1, gradients, columns, keyRows, width,
                    keys == firstKeys ? 0 : 1, dQueries, width);
        }
    }

    private static MemorySegment at(MemorySegment x, long element) {
        return x.asSlice(element << 2);
    }
}
