package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;

/**
 * Which kernel of {@code kernels/local_attention.cu} computes a shape, and how it is launched: a function of the shape,
 * and of which of two tiles the GPU has shown to be faster.
 *
 * @param kernel         the entry point
 * @param patchesPerTile whole sequences that a tile holds
 * @param blocks         of the grid
 * @param threads        of a block
 * @param sharedBytes    dynamic shared memory of a block
 */
record LocalAttentionLaunch(String kernel, int patchesPerTile, long blocks, int threads, int sharedBytes) {
    /** The longest sequence. */
    static final int LONGEST = 64;
    /** The longest head. */
    static final int LONGEST_HEAD = 128;
    /** Query heads of a key/value head, for which the kernels' division is exact. */
    private static final int MOST_SHARING = 255;

    private static final String NAME = "local_attention_";
    private static final int[] SIZES = {32, 64, LONGEST_HEAD};
    private static final int WARPS = 4;
    private static final int WARP = 32;
    /** Rows that pass together, in float32 arithmetic and in backward with keys in shared memory. */
    private static final int ROWS = 32;

    /** Whether there are two tiles to choose from: the smallest that holds a sequence, and one twice as large. */
    static boolean hasLarger(AttentionShape shape, DType dtype) {
        return dtype == DType.BF16 && shape.headSize() % Launches.vector(dtype) == 0 && keys(shape) < LONGEST;
    }

    /**
     * The launch of forward.
     *
     * @param vectors whether all heads of all tensors lie at multiples of 16 bytes
     * @param larger  with the larger tile, if there is one
     */
    static LocalAttentionLaunch forward(AttentionShape shape, DType dtype, boolean vectors, boolean larger) {
        check(shape);
        if (dtype != DType.BF16 || !vectors) {
            return cores(NAME + "forward_cores_" + name(dtype), shape, false);
        }
        int keys = larger && hasLarger(shape, dtype) ? 2 * keys(shape) : keys(shape);
        return keys <= 16 ? inRegisters("forward", shape, keys) : inSharedMemory("forward", shape, keys, WARPS * WARP,
                4 * (keys + ROWS) * size(shape));
    }

    /** As {@link #forward}; 16 positions of long heads leave no registers for their gradients. */
    static LocalAttentionLaunch backward(AttentionShape shape, DType dtype, boolean vectors, boolean larger) {
        check(shape);
        if (dtype != DType.BF16 || !vectors) {
            return cores(NAME + "backward_cores_" + Math.max(64, size(shape)) + "_" + name(dtype), shape, true);
        }
        int tile = larger && hasLarger(shape, dtype) ? 2 * keys(shape) : keys(shape);
        int keys = tile == 16 && size(shape) == LONGEST_HEAD ? 32 : tile;
        return keys <= 16 ? inRegisters("backward", shape, keys) : inSharedMemory("backward", shape, keys, 2 * keys,
                4 * (keys + ROWS) * size(shape) + 80 * keys);
    }

    /** Of all shapes. */
    static List<String> kernels() {
        List<String> names = new ArrayList<>();
        for (String direction : List.of("forward", "backward")) {
            for (int size : SIZES) {
                names.add(NAME + direction + "_warp_8_" + size + "_bf16");
                if (size < LONGEST_HEAD || direction.equals("forward")) {
                    names.add(NAME + direction + "_warp_16_" + size + "_bf16");
                }
                names.add(NAME + direction + "_block_32_" + size + "_bf16");
                names.add(NAME + direction + "_block_64_" + size + "_bf16");
            }
        }
        for (String dtype : List.of("f32", "bf16")) {
            names.add(NAME + "forward_cores_" + dtype);
            names.add(NAME + "backward_cores_64_" + dtype);
            names.add(NAME + "backward_cores_128_" + dtype);
        }
        return names;
    }

    /** @throws ShapeException if no kernel can */
    private static void check(AttentionShape shape) {
        if (shape.length() > LONGEST || shape.headSize() > LONGEST_HEAD
                || shape.heads() / shape.keyValueHeads() > MOST_SHARING) {
            throw new ShapeException("attention over " + shape.length() + " positions with heads of size "
                    + shape.headSize() + ", of which " + shape.heads() / shape.keyValueHeads()
                    + " share a key/value head, is not possible on CUDA; at most " + LONGEST + " positions, size "
                    + LONGEST_HEAD + " and " + MOST_SHARING + " heads are");
        }
    }

    /** Positions that a tile has room for: 8, 16, 32 or 64. */
    private static int keys(AttentionShape shape) {
        return shape.length() <= 8 ? 8 : 2 * Integer.highestOneBit((int) shape.length() - 1);
    }

    private static int size(AttentionShape shape) {
        return shape.headSize() <= 32 ? 32 : shape.headSize() <= 64 ? 64 : LONGEST_HEAD;
    }

    private static String name(DType dtype) {
        return dtype == DType.BF16 ? "bf16" : "f32";
    }

    private static int patchesPerTile(AttentionShape shape, int keys) {
        return Math.max(1, keys / (int) shape.length());
    }

    private static long tiles(AttentionShape shape, int patchesPerTile) {
        return Math.ceilDiv(shape.batch(), (long) patchesPerTile);
    }

    private static LocalAttentionLaunch inRegisters(String direction, AttentionShape shape, int keys) {
        int patches = patchesPerTile(shape, keys);
        return new LocalAttentionLaunch(NAME + direction + "_warp_" + keys + "_" + size(shape) + "_bf16", patches,
                Math.ceilDiv(tiles(shape, patches), (long) WARPS) * shape.keyValueHeads(), WARPS * WARP, 0);
    }

    private static LocalAttentionLaunch inSharedMemory(String direction, AttentionShape shape, int keys, int threads,
            int sharedBytes) {
        int patches = patchesPerTile(shape, keys);
        return new LocalAttentionLaunch(NAME + direction + "_block_" + keys + "_" + size(shape) + "_bf16", patches,
                tiles(shape, patches) * shape.keyValueHeads(), threads, sharedBytes);
    }

    /** Shared memory as kernels/local_attention/cores.cuh says. */
    private static LocalAttentionLaunch cores(String kernel, AttentionShape shape, boolean backward) {
        int patches = patchesPerTile(shape, 8);
        int warps = Math.ceilDiv(patches * (int) shape.length(), 8);
        int keys = 8 * warps;
        int stride = 4 * (Math.ceilDiv(shape.headSize(), 4) | 1);
        int floats = backward
                ? (2 * keys + 2 * ROWS) * stride + 2 * ROWS * (keys + 4) + ROWS
                : (2 * keys + ROWS) * stride + ROWS * (keys + 1) + 2 * ROWS * warps;
        return new LocalAttentionLaunch(kernel, patches, tiles(shape, patches) * shape.keyValueHeads(), WARP * warps,
                floats * Float.BYTES);
    }
}
