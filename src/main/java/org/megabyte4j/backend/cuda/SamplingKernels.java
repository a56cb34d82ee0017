package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** The choice of ids, {@code kernels/sampling.cu}. */
final class SamplingKernels {
    /** Ids whose keys, weights and logits fit a block's shared memory. */
    static final int LARGEST_VOCABULARY = 4096;
    private static final int THREADS = 256;
    private static final int USUAL_SHARED_BYTES = 48 << 10;

    private final Kernel sample;

    SamplingKernels(KernelLoader loader) {
        sample = loader.module("sampling").kernel("sample_f32", PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, I32, I32);
    }

    /**
     * Prepares for a vocabulary, in the dry run.
     *
     * @throws ShapeException if it is too large
     */
    void require(long vocabulary) {
        if (vocabulary > LARGEST_VOCABULARY) {
            throw new ShapeException("a GPU can choose among " + LARGEST_VOCABULARY + " ids, but the vocabulary has "
                    + vocabulary + "; use --device cpu");
        }
        if (sharedBytes((int) vocabulary) > USUAL_SHARED_BYTES) {
            sample.maxDynamicShared(sharedBytes(LARGEST_VOCABULARY));
        }
    }

    void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions, Tensor forced,
            Tensor seen, Tensor chosen, Tensor faults) {
        int vocabulary = Math.toIntExact(logits.columns());
        sample.grid(logits.rows()).block(THREADS).shared(sharedBytes(vocabulary))
                .arg(logits).arg(settings).arg(allowed).arg(sequences).arg(positions).arg(forced).arg(seen)
                .arg(chosen).arg(faults).arg(vocabulary).arg(sorted(vocabulary)).launch();
    }

    /** Keys are sorted in a number that is a power of two. */
    static int sorted(int vocabulary) {
        return vocabulary == 1 ? 1 : Integer.highestOneBit(vocabulary - 1) << 1;
    }

    private static int sharedBytes(int vocabulary) {
        return Long.BYTES * sorted(vocabulary) + (Double.BYTES + Float.BYTES) * vocabulary;
    }
}
