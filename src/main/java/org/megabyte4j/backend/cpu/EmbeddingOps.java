package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.CpuTensors.segmentOrNull;

import java.lang.foreign.MemorySegment;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.tensor.Tensor;

/** Looking up embeddings, and adding their gradients. */
final class EmbeddingOps {
    private static final int GRAIN_ROWS = 64;
    /** Columns that one thread adds up in backward: at least a cache line. */
    private static final int GRAIN_COLUMNS = 16;

    private final Workers workers;
    private final Kernels kernels;

    EmbeddingOps(Workers workers, Kernels kernels) {
        this.workers = workers;
        this.kernels = kernels;
    }

    private static long seen(MemorySegment ids, ByteShift shift, int padId, long index, long vocabulary) {
        long source = shift.source(index);
        return source < 0 ? padId : CpuTensors.id(ids, source, vocabulary);
    }

    void forward(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend, Tensor out) {
        MemorySegment id = segment(ids);
        MemorySegment rows = segment(table);
        MemorySegment position = segmentOrNull(positions);
        MemorySegment add = segmentOrNull(addend);
        MemorySegment to = segment(out);
        long length = ids.columns();
        int dim = Math.toIntExact(table.columns());
        workers.forRange(ids.elements(), GRAIN_ROWS, (from, end) -> {
            for (long i = from; i < end; i++) {
                long row = seen(id, shift, padId, i, table.rows()) * dim;
                if (add == null) {
                    MemorySegment.copy(rows, row << 2, to, i * dim << 2, (long) dim << 2);
                } else {
                    if (addend != out) {
                        MemorySegment.copy(add, i * dim << 2, to, i * dim << 2, (long) dim << 2);
                    }
                    kernels.add(rows, row, to, i * dim, dim);
                }
                if (position != null) {
                    kernels.add(position, i % length * dim, to, i * dim, dim);
                }
            }
        });
    }

    /** Each thread adds up some of the columns over all rows, in the order of the rows. */
    void backward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        MemorySegment id = segment(ids);
        MemorySegment from = segment(dOut);
        MemorySegment rows = segment(dTable);
        MemorySegment position = segmentOrNull(dPositions);
        long length = ids.columns();
        int dim = Math.toIntExact(dTable.columns());
        workers.forRange(dim, GRAIN_COLUMNS, (first, end) -> {
            for (long i = 0; i < ids.elements(); i++) {
                kernels.add(from, i * dim + first, rows, seen(id, shift, padId, i, dTable.rows()) * dim + first,
                        (int) (end - first));
                if (position != null) {
                    kernels.add(from, i * dim + first, position, i % length * dim + first,
                        (int) (end - first));
                }
            }
        });
    }
}
