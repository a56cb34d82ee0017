package org.megabyte4j.backend.cuda;

import java.util.Arrays;
import java.util.List;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;

/**
 * Which of the algorithms that cuBLASLt offers for a product is taken: the fastest on this GPU, measured once and noted
 * in a file, so that later processes compute the same bits; or, where nothing is measured, the library's first.
 */
final class AlgorithmChoice {
    /** How many of the library's best guesses are compared. */
    private static final int CANDIDATES = 8;
    /** By how much another one has to be faster than the library's first. */
    private static final double WORTHWHILE = 0.98;

    private final AlgorithmTimer timer;
    private final AlgorithmCache cache;

    private AlgorithmChoice(AlgorithmTimer timer, AlgorithmCache cache) {
        this.timer = timer;
        this.cache = cache;
    }

    /** Measures, and notes the results. */
    static AlgorithmChoice measured(AlgorithmTimer timer, AlgorithmCache cache) {
        return new AlgorithmChoice(timer, cache);
    }

    /** Takes the library's first. */
    static AlgorithmChoice first() {
        return new AlgorithmChoice(null, null);
    }

    /** What can be said without measuring; null if that has to be done. */
    Algorithm known(GemmShape shape, CublasLtMatmul product, long workspaceBytes) {
        if (timer == null) {
            return product.algorithms(1, workspaceBytes).getFirst();
        }
        List<Algorithm> candidates = product.algorithms(CANDIDATES, workspaceBytes);
        if (candidates.size() == 1) {
            return candidates.getFirst();
        }
        long[] noted = cache.find(shape);
        for (Algorithm candidate : candidates) {
            // What the file says is never handed to the library: it only points at one of its own offers.
            if (noted != null && Arrays.equals(noted, candidate.words())) {
                return candidate;
            }
        }
        return null;
    }

    /** Takes the time of what the library offers, and notes the result. */
    Algorithm measure(GemmShape shape, CublasLtMatmul product, long workspaceBytes) {
        List<Algorithm> candidates = product.algorithms(CANDIDATES, workspaceBytes);
        double[] seconds = timer.time(shape, product, candidates, workspaceBytes);
        if (seconds.length == 0) {
            return candidates.getFirst();
        }
        int best = 0;
        for (int i = 1; i < seconds.length; i++) {
            if (seconds[i] < seconds[best] * (best == 0 ? WORTHWHILE : 1)) {
                best = i;
            }
        }
        cache.note(shape, candidates.get(best).words(), seconds[best]);
        return candidates.get(best);
    }
}
