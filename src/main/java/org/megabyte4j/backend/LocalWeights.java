package org.megabyte4j.backend;

import java.util.List;
import org.megabyte4j.tensor.Tensor;

/**
 * The weights of a local model, for {@link Ops#decodePatch}. D is its width, h the size of a head, all heads share one
 * key and one value.
 *
 * @param table      embeddings of the byte before, {@code [V, D]}
 * @param layers     first to last, at least one
 * @param headWeight {@code [V, D]}
 * @param headBias   {@code [V]}
 * @param heads      query heads
 * @param bias       of the attention
 */
public record LocalWeights(Tensor table, List<Layer> layers, Tensor headWeight, Tensor headBias, int heads,
        AttentionBias bias) {
    /**
     * A layer: attention, then feed-forward, each with LayerNorm before and the residual connection around it.
     *
     * @param qkv      {@code [(heads + 2) * h, D]}
     * @param out      {@code [D, heads * h]}
     * @param expand   {@code [4 * D, D]}
     * @param contract {@code [D, 4 * D]}
     */
    public record Layer(Tensor attentionNormWeight, Tensor attentionNormBias, Tensor qkv, Tensor out,
            Tensor feedForwardNormWeight, Tensor feedForwardNormBias, Tensor expand, Tensor expandBias,
            Tensor contract, Tensor contractBias) { }

    public LocalWeights {
        layers = List.copyOf(layers);
    }

    /** [V] */
    public int vocabulary() {
        return Math.toIntExact(table.rows());
    }

    /** [D] */
    public int dim() {
        return Math.toIntExact(table.columns());
    }

    /** [h] */
    public int headSize() {
        return Math.toIntExact(layers.getFirst().out().columns() / heads);
    }

    /** Bytes of all matrices that a decoded byte reads. */
    public long matrixBytes() {
        return headWeight.bytes() + layers.stream().mapToLong(layer -> layer.qkv().bytes() + layer.out().bytes()
                + layer.expand().bytes() + layer.contract().bytes()).sum();
    }
}
