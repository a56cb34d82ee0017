package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.tensor.Tensor;

/** Going on to the next patch, {@code kernels/next_patch.cu}. */
final class NextPatchKernels {
    private static final int THREADS = 128;

    private final Kernel next;

    NextPatchKernels(KernelLoader loader) {
        next = loader.module("next_patch").kernel("next_patch", PTR, PTR, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32);
    }

    void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        int batch = Math.toIntExact(input.past().elements());
        next.grid(Math.ceilDiv(batch, THREADS)).block(THREADS)
                .arg(results).arg(input.earlier()).arg(input.bytePositions()).arg(input.past()).arg(input.forced())
                .arg(input.positions()).arg(input.previous()).arg(batch)
                .arg(Math.toIntExact(input.forced().rows())).arg(last).arg(seesPrevious ? 1 : 0).launch();
    }
}
