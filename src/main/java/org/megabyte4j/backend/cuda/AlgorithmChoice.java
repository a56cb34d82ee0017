package org.megabyte4j.backend.cuda;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;

/**
 * Which of the algorithms that cuBLASLt offers for a product is taken: the fastest on this GPU, measured once and noted
 * in a file, so that later processes compute the same bits; or, where nothing is measured, the library's first.
 */
final class AlgorithmChoice {
    /** How many of the library's best guesses are compared. */
    private static final int CANDIDATES = 8;

    private final AlgorithmTimer timer;
    private final TuningCache cache;

    private AlgorithmChoice(AlgorithmTimer timer, TuningCache cache) {
        this.timer = timer;
        this.cache = cache;
    }

    /** Measures, and notes the results. */
    static AlgorithmChoice measured(AlgorithmTimer timer, TuningCache cache) {
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
        String noted = cache.find(shape);
        for (Algorithm candidate : candidates) {
            // What the file says is never handed to the library: it only points at one of its own offers.
            if (text(candidate).equals(noted)) {
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
        int best = Tuner.fastest(seconds);
        cache.note(shape, text(candidates.get(best)), seconds[best]);
        return candidates.get(best);
    }

    private static String text(Algorithm algorithm) {
        return Arrays.stream(algorithm.words()).mapToObj(word -> String.format("%016x", word))
                .collect(Collectors.joining(" "));
    }
}
