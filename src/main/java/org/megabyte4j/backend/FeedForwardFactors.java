package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * What the gradients of a feed-forward layer's matrices are products of: {@code dExpand += dHidden^T normed},
 * {@code dContract += dOut^T activated}, see {@link Ops#linearWeightGradient}.
 *
 * @param normed    {@code [rows, dim]}
 * @param activated {@code [rows, hidden]}
 * @param dHidden   {@code [rows, hidden]}, the gradient before GELU
 * @param dOut      {@code [rows, dim]}
 */
public record FeedForwardFactors(Tensor normed, Tensor activated, Tensor dHidden, Tensor dOut) { }
