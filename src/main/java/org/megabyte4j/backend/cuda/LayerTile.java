package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.tensor.DType;

/** What kernels of layers at once have in common, {@code kernels/common/layer_tile.cuh}. */
final class LayerTile {
    /** Rows of a block. */
    static final int ROWS = 128;
    static final int THREADS = 256;
    /** Widths that there are kernels for. */
    private static final List<Integer> DIMS = List.of(64, 128, 256);

    private LayerTile() {
    }

    static long blocks(long rows) {
        return Math.ceilDiv(rows, (long) ROWS);
    }

    /**
     * Why no layer of this type and width can be computed at once; empty if one can.
     *
     * @param layers what they are called
     */
    static List<String> obstacles(String layers, DType dtype, long dim) {
        List<String> obstacles = new ArrayList<>();
        if (dtype != DType.BF16) {
            obstacles.add(layers + " layers at once are computed in bf16, not in " + dtype.label());
        }
        if (dim > Integer.MAX_VALUE || !DIMS.contains((int) dim)) {
            obstacles.add("the layer's width is " + dim + "; it can be " + DIMS);
        }
        return obstacles;
    }
}
