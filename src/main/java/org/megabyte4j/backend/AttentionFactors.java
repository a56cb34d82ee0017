package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * What, beside the attention's result, the gradients of an attention layer's matrices are products of:
 * {@code dToQkv += dQkv^T normed}, {@code dToOut += dOut^T attended}, see {@link Ops#linearWeightGradient}.
 *
 * @param normed {@code [rows, dim]}
 * @param dQkv   {@code [rows, packedWidth]}
 * @param dOut   {@code [rows, dim]}
 */
public record AttentionFactors(Tensor normed, Tensor dQkv, Tensor dOut) { }
