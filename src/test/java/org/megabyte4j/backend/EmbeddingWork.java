package org.megabyte4j.backend;

import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.tensor.Tensor;

/** What tests of embeddings compute on every backend. */
public final class EmbeddingWork {
    private EmbeddingWork() {
    }

    /** Forward with and without positions and addend, also in place; the last id is the padding. */
    public static Function<Tensors, Consumer<Ops>> forward(int batch, int length, int vocabulary, int dim,
            ByteShift shift) {
        int rows = batch * length;
        int padId = vocabulary - 1;
        return t -> {
            Tensor ids = t.ids(vocabulary, batch, length);
            Tensor table = t.random(vocabulary, dim);
            Tensor positions = t.random(length + 2, dim);
            Tensor addend = t.random(rows, dim);
            Tensor plain = t.result("plain", rows, dim);
            Tensor positioned = t.result("with positions", rows, dim);
            Tensor added = t.result("with addend", rows, dim);
            Tensor both = t.result("with both", rows, dim);
            Tensor inPlace = t.changed("in place", rows, dim);
            Tensor bothInPlace = t.changed("in place with positions", rows, dim);
            return ops -> {
                ops.embed(ids, shift, padId, table, null, null, plain);
                ops.embed(ids, shift, padId, table, positions, null, positioned);
                ops.embed(ids, shift, padId, table, null, addend, added);
                ops.embed(ids, shift, padId, table, positions, addend, both);
                ops.embed(ids, shift, padId, table, null, inPlace, inPlace);
                ops.embed(ids, shift, padId, table, positions, bothInPlace, bothInPlace);
            };
        };
    }

    /** The gradients of table and positions, and of the table alone. */
    public static Function<Tensors, Consumer<Ops>> backward(int batch, int length, int vocabulary, int dim,
            ByteShift shift) {
        return t -> {
            Tensor ids = t.ids(vocabulary, batch, length);
            Tensor dOut = t.random(batch * length, dim);
            Tensor dTable = t.float32Changed("dTable", vocabulary, dim);
            Tensor alone = t.float32Changed("dTable without positions", vocabulary, dim);
            Tensor dPositions = t.float32Changed("dPositions", length + 2, dim);
            return ops -> {
                ops.embedBackward(ids, shift, 0, dOut, dTable, dPositions);
                ops.embedBackward(ids, shift, 0, dOut, alone, null);
            };
        };
    }
}
