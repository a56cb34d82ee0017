package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Embeddings of shifted ids, {@code kernels/embedding.cu}. An id outside the table makes its row of the output NaN and
 * has no gradient.
 */
final class EmbeddingKernels {
    private static final int WARP = 32;
    private static final int CHUNK = 512;
    private static final int CHUNK_THREADS = 256;
    private static final int TILE = 64;
    private static final int TILE_WARPS = 4;
    private static final int SUM_COLUMNS = 32;
    private static final int SHARE_THREADS = 256;
    private static final int MOST_THREADS = 1024;

    private final ElementwiseKernels elementwise;
    private final Kernel embedFloat;
    private final Kernel embedBf16;
    private final Kernel count;
    private final Kernel offsets;
    private final Kernel starts;
    private final Kernel sort;
    private final Kernel tilesFloat;
    private final Kernel tilesBf16;
    private final Kernel addShares;

    EmbeddingKernels(KernelLoader loader, ElementwiseKernels elementwise) {
        this.elementwise = elementwise;
        KernelModule module = loader.module("embedding");
        embedFloat = module.kernel("embed_f32", PTR, I64, I64, I32, I32, I32, PTR, PTR, PTR, PTR, I64, I32);
        embedBf16 = module.kernel("embed_bf16", PTR, I64, I64, I32, I32, I32, PTR, PTR, PTR, PTR, I64, I32);
        count = module.kernel("embedding_count", PTR, I64, I64, I32, I32, I64, PTR);
        offsets = module.kernel("embedding_offsets", PTR, I64, I32, PTR);
        starts = module.kernel("embedding_starts", PTR, I32, PTR);
        sort = module.kernel("embedding_sort", PTR, I64, I64, I32, I32, I64, PTR, PTR, PTR);
        tilesFloat = module.kernel("embedding_tiles_f32", PTR, PTR, PTR, I32, PTR, PTR, I64, I32, I32);
        tilesBf16 = module.kernel("embedding_tiles_bf16", PTR, PTR, PTR, I32, PTR, PTR, I64, I32, I32);
        addShares = module.kernel("embedding_add_shares", PTR, PTR, PTR, I32);
    }

    /** {@link org.megabyte4j.backend.Ops#embed}. */
    void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out) {
        if (out.elements() == 0) {
            return;
        }
        Launches.elementwise(Launches.of(out, embedFloat, embedBf16), out.elements(), Launches.vector(out.dtype()))
                .arg(ids).arg(shift.distance()).arg(shift.period()).arg(padId).arg(Math.toIntExact(table.rows()))
                .arg(Math.toIntExact(ids.columns())).arg(table).arg(positions).arg(addend).arg(out).arg(out.elements())
                .arg(Math.toIntExact(table.columns())).launch();
    }

    /** Where the pieces of the workspace begin, in bytes. */
    private record Pieces(long counts, long totals, long starts, long sorted, long shares, long end) {
        static Pieces of(long positions, long vocabulary, long dim) {
            long totals = aligned(Math.ceilDiv(positions, CHUNK) * vocabulary * Integer.BYTES);
            long starts = totals + aligned(vocabulary * Integer.BYTES);
            long sorted = starts + aligned((vocabulary + 1) * Integer.BYTES);
            long shares = sorted + aligned(positions * 2 * Integer.BYTES);
            return new Pieces(0, totals, starts, sorted, shares,
                    shares + Math.ceilDiv(positions, TILE) * 2 * dim * Float.BYTES);
        }

        private static long aligned(long bytes) {
            return Math.ceilDiv(bytes, MemoryPlan.ALIGNMENT) * MemoryPlan.ALIGNMENT;
        }
    }

    /**
     * {@link org.megabyte4j.backend.Ops#embedBackward}.
     *
     * @param workspace at least {@link #embedBackwardWorkspaceBytes}
     */
    void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions,
            Tensor workspace) {
        long positions = Math.toIntExact(ids.elements());
        if (positions == 0 || dTable.elements() == 0) {
            return;
        }
        int vocabulary = Math.toIntExact(dTable.rows());
        int dim = Math.toIntExact(dTable.columns());
        Pieces at = Pieces.of(positions, vocabulary, dim);
        Tensor countsPart = workspace.part(at.counts, at.totals - at.counts);
        Tensor totalsPart = workspace.part(at.totals, at.starts - at.totals);
        Tensor startsPart = workspace.part(at.starts, at.sorted - at.starts);
        Tensor sortedPart = workspace.part(at.sorted, at.shares - at.sorted);
        Tensor sharesPart = workspace.part(at.shares, at.end - at.shares);
        long chunks = Math.ceilDiv(positions, CHUNK);
        count.grid(chunks).block(CHUNK_THREADS)
                .arg(ids).arg(shift.distance()).arg(shift.period()).arg(padId).arg(vocabulary).arg(positions)
                .arg(countsPart).launch();
        offsets.grid(Math.ceilDiv(vocabulary, WARP)).block(MOST_THREADS)
                .arg(countsPart).arg(chunks).arg(vocabulary).arg(totalsPart).launch();
        starts.grid(1).block(MOST_THREADS).arg(totalsPart).arg(vocabulary).arg(startsPart).launch();
        sort.grid(chunks).block(CHUNK_THREADS)
                .arg(ids).arg(shift.distance()).arg(shift.period()).arg(padId).arg(vocabulary).arg(positions)
                .arg(countsPart).arg(startsPart).arg(sortedPart).launch();
        boolean vectors = Launches.vectors(dOut, dim);
        long slabs = Math.ceilDiv(dim, WARP * (vectors ? Launches.vector(dOut.dtype()) : 1));
        long tiles = Math.ceilDiv(positions, TILE);
        Launches.of(dOut, tilesFloat, tilesBf16).grid(Math.ceilDiv(tiles * slabs, TILE_WARPS)).block(TILE_WARPS * WARP)
                .arg(dOut).arg(sortedPart).arg(startsPart).arg(vocabulary).arg(dTable).arg(sharesPart).arg(tiles)
                .arg(dim).arg(vectors ? 1 : 0).launch();
        addShares.grid(vocabulary, Math.ceilDiv(dim, SUM_COLUMNS)).block(SHARE_THREADS)
                .arg(sharesPart).arg(startsPart).arg(dTable).arg(dim).launch();
        if (dPositions != null) {
            elementwise.columnSums(dOut, positions / ids.columns(), ids.columns() * dim, dPositions, workspace);
        }
    }

    long embedBackwardWorkspaceBytes(Tensor ids, Tensor dTable, Tensor dPositions) {
        long table = Pieces.of(ids.elements(), dTable.rows(), dTable.columns()).end;
        return dPositions == null ? table
                : Math.max(table, elementwise.columnSumsWorkspaceBytes(ids.rows(), ids.columns() * dTable.columns()));
    }
}
