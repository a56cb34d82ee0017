package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;

/**
 * Causal attention over long sequences: blocks of queries against blocks of keys, with an online softmax (Milakov and
 * Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). Nothing grows with the square of the length.
 * Blocks above the diagonal are skipped; within a block on the diagonal each row stops at its own position.
 *
 * <p>Forward: a task is one block of queries of one head. Backward: a task is a group of heads of one sequence, so that
 * the gradients of the shared keys and values are summed in a fixed order; each group has a buffer of its own, and the
 * groups' buffers are added up at the end.
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
        return threads * forwardElements(shape);
    }

    /** Float32 elements of workspace for backward. */
    static long backwardWorkspace(AttentionShape shape, int threads) {
        return threads * backwardElements(shape) + groups(shape, threads) * shape.rows() * shape.keyValueWidth();
    }

    /** Groups of heads that a sequence's backward is split into: enough to occupy the threads. */
    private static int groups(AttentionShape shape, int threads) {
        return (int) Math.min(shape.heads(), Math.ceilDiv(threads, Math.min(threads, shape.batch())));
    }

    void forward(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out, MemorySegment lse,
            MemorySegment workspace) {
        long blocks = Math.ceilDiv(shape.length(), BLOCK);
        long tasks = shape.batch() * shape.heads() * blocks;
        long scratch = forwardElements(shape);
        workers.run((thread, threads) -> {
            MemorySegment own = workspace.asSlice(thread * scratch << 2, scratch << 2);
            for (long task = thread; task < tasks; task += threads) {
                // Long blocks first, so that the threads end together.
                long block = blocks - 1 - task / (shape.batch() * shape.heads());
                long rest = task % (shape.batch() * shape.heads());
                forwardBlock(shape, qkv, bias, out, lse, own, rest / shape.heads(), (int) (rest % shape.heads()), block);
            }
        });
    }

    private void forwardBlock(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out,
            MemorySegment lse, MemorySegment own, long sequence, int head, long block) {
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
        for (long keys = 0; keys <= start; keys += BLOCK) {
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
                if (keys == 0) {
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
        int groups = groups(shape, workers.threads());
        long tasks = shape.batch() * groups;
        long scratch = backwardElements(shape);
        long groupElements = shape.rows() * shape.keyValueWidth();
        MemorySegment sums = workspace.asSlice(workers.threads() * scratch << 2);
        workers.run((thread, threads) -> {
            MemorySegment own = workspace.asSlice(thread * scratch << 2, scratch << 2);
            for (long task = thread; task < tasks; task += threads) {
                long sequence = task / groups;
                int group = (int) (task % groups);
                MemorySegment dKeysValues = sums.asSlice(group * groupElements << 2, groupElements << 2);
                for (long row = sequence * shape.length(); row < (sequence + 1) * shape.length(); row++) {
                    kernels.fill(dKeysValues, row * shape.keyValueWidth(), shape.keyValueWidth(), 0);
                }
                int end = shape.heads() * (group + 1) / groups;
                for (int head = shape.heads() * group / groups; head < end; head++) {
                    backwardHead(shape, qkv, bias, out, lse, dOut, dQkv, dKeysValues, own, sequence, head);
                }
            }
        });
        int kept = shape.keyValueWidth();
        workers.forRange(shape.rows(), 16, (from, to) -> {
            for (long row = from; row < to; row++) {
                long target = row * shape.packedWidth() + shape.width();
                MemorySegment.copy(sums, row * kept << 2, dQkv, target << 2, (long) kept << 2);
                for (int group = 1; group < groups; group++) {
                    kernels.add(sums, group * groupElements + row * kept, dQkv, target, kept);
                }
            }
        });
    }

    private void backwardHead(AttentionShape shape, MemorySegment qkv, AttentionBias bias, MemorySegment out,
            MemorySegment lse, MemorySegment dOut, MemorySegment dQkv, MemorySegment dKeysValues, MemorySegment own,
            long sequence, int head) {
        PackedRows packed = new PackedRows(shape);
        int size = shape.headSize();
        int width = shape.packedWidth();
        int kept = shape.keyValueWidth();
        float slope = bias.slope(head, shape.heads());
        float scale = (float) (1 / Math.sqrt(size));
        long first = sequence * shape.length();
        long tile = Math.min(BLOCK, shape.length());
        MemorySegment gradients = own.asSlice(tile * tile << 2);
        for (long start = 0; start < shape.length(); start += BLOCK) {
            int rows = (int) Math.min(BLOCK, shape.length() - start);
            MemorySegment queries = at(qkv, packed.query(first + start, head));
            MemorySegment dQueries = at(dQkv, packed.query(first + start, head));
            MemorySegment dResult = at(dOut, packed.out(first + start, head));
            for (long keys = 0; keys <= start; keys += BLOCK) {
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
                        keys == 0 ? 0 : 1, dQueries, width);
            }
        }
    }

    private static MemorySegment at(MemorySegment x, long element) {
        return x.asSlice(element << 2);
    }
}
