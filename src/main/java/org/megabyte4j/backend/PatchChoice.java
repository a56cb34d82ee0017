package org.megabyte4j.backend;

import org.megabyte4j.tensor.Tensor;

/**
 * How {@link Ops#decodePatch} chooses the ids of a patch, and where they go: {@link Ops#sample} for each of its
 * P bytes.
 *
 * @param previous  I32 {@code [B]}: the id before the patch, which its first byte sees
 * @param settings  as of {@link Ops#sample}, and so are {@code allowed}, {@code sequences} and {@code seen}
 * @param positions I32 {@code [P, B]}
 * @param forced    I32 {@code [P, B]}
 * @param results   I32 {@code [P, 2, B]}: of each byte the ids, then the faults
 */
public record PatchChoice(Tensor previous, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
        Tensor forced, Tensor seen, Tensor results) { }
