package org.megabyte4j.model;

import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.Tensor;

/**
 * A feed-forward over all rows of a layer. Where it is kept for backward, all go at once; where it is computed again, a
 * chunk of rows after the other, so that the activation inside, four times as wide, exists for one chunk alone.
 */
final class FeedForwardRows {
    private final boolean kept;
    private final long rows;
    private final long atOnce;
    private final FeedForwardLayer chunk;
    private final FeedForwardLayer rest;    // of the rows behind the last whole chunk; null if there are none

    private Tensor x;

    FeedForwardRows(GraphBuilder graph, String name, long rows, long dim) {
        kept = graph.keeps(GraphBuilder.Keep.ALL);
        this.rows = rows;
        atOnce = graph.rowsAtOnce(rows);
        chunk = FeedForwardLayer.of(graph, name, atOnce, dim);
        rest = rows % atOnce == 0 ? null : FeedForwardLayer.of(graph, name, rows % atOnce, dim);
    }

    private FeedForwardLayer at(long from) {
        return rows - from < atOnce ? rest : chunk;
    }

    private Tensor part(Tensor all, long from) {
        return all.slice(from, Math.min(atOnce, rows - from));
    }

    /**
     * @param x   {@code [rows, dim]}
     * @param out as {@code x}
     */
    void forward(Ops ops, Tensor x, Tensor out) {
        this.x = x;
        for (long from = 0; from < rows; from += atOnce) {
            at(from).forward(ops, part(x, from), part(out, from));
        }
    }

    /** @param d gradient of the result; becomes the gradient of {@code x} */
    void backward(Ops ops, Tensor d) {
        for (long from = 0; from < rows; from += atOnce) {
            if (!kept) {
                at(from).again(ops, part(x, from));
            }
            at(from).backward(ops, part(d, from));
        }
    }
}
