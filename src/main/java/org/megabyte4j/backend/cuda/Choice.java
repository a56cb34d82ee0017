package org.megabyte4j.backend.cuda;

import java.util.List;
import org.megabyte4j.tensor.MemoryPlan;

/** Several ways to compute the same, of which the GPU shows the fastest: see {@link Tuner}. */
final class Choice {
    /** The work of each way, on memory of its own. */
    interface Trial {
        /**
         * Plans tensors of F32 and BF16, as large as the program's, and gives each way's work on them, in order. They
         * are filled with small numbers.
         */
        List<Runnable> plan(MemoryPlan scratch);
    }

    private final String what;
    private final List<String> ways;
    private final Trial trial;
    private int taken;
    private boolean decided;

    Choice(String what, List<String> ways, Trial trial) {
        this.what = what;
        this.ways = List.copyOf(ways);
        this.trial = trial;
        decided = ways.size() < 2;
    }

    /** What is computed: operation, shape, dtype, and the version of the kernels. */
    String what() {
        return what;
    }

    List<String> ways() {
        return ways;
    }

    Trial trial() {
        return trial;
    }

    boolean isDecided() {
        return decided;
    }

    /** The index of the way to go: the first until another has shown to be faster. */
    int taken() {
        return taken;
    }

    /** The name of the way to go. */
    String way() {
        return ways.get(taken);
    }

    void take(int way) {
        taken = way;
        decided = true;
    }
}
