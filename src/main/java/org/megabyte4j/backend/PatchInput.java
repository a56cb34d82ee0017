package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * What changes from patch to patch in generation; all of it I32, for B sequences and patches of P bytes.
 *
 * @param earlier       {@code [B, P]}: the ids of the patch before, which the global model sees
 * @param bytePositions {@code [B, P]}: index of each byte of the patch in its sequence
 * @param past          {@code [B]}: index of the patch in its sequence
 * @param forced        {@code [P, B]}, as of {@link Ops#sample}
 * @param positions     {@code [P, B]}, as of {@link Ops#sample}
 * @param previous      {@code [B]}: the id before the patch, which the local model sees
 */
public record PatchInput(Tensor earlier, Tensor bytePositions, Tensor past, Tensor forced, Tensor positions,
        Tensor previous) { }
