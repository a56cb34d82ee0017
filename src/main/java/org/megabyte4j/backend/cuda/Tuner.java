package org.megabyte4j.backend.cuda;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.tensor.MemoryPlan;

/**
 * Makes the choices that only hardware can make. A dry run asks for them, so that the workspace suffices for every way;
 * {@link #decide} looks up what is known and measures the rest, when it is known that the program fits the GPU and
 * before its memory is taken. Nothing is chosen later, so a recorded program stays as it is.
 *
 * <pre>{@code
 * Choice choice = tuner.choice("attention 4x256 bf16", List.of("narrow", "wide"), scratch -> List.of(...));
 * need(Math.max(narrowWorkspace, wideWorkspace));      // in the dry run
 * if (choice.taken() == 1) { ... }                     // in the program
 * }</pre>
 */
final class Tuner {
    /** By how much another way has to be faster than the first. */
    private static final double WORTHWHILE = 0.98;

    /** Measures the ways of a choice. */
    interface Timer {
        /** Seconds of each way; nothing if there is not enough memory to measure with. */
        double[] seconds(Choice.Trial trial);
    }

    private final Timer timer;
    private final TuningCache cache;
    private final Map<String, Choice> choices = new LinkedHashMap<>();

    /** One that measures, and notes the results. */
    Tuner(Timer timer, TuningCache cache) {
        this.timer = timer;
        this.cache = cache;
    }

    /** One that takes the first way always. */
    static Tuner off() {
        return new Tuner(null, null);
    }

    /** Whether anything but the first way can come to be taken. */
    boolean measures() {
        return timer != null;
    }

    /**
     * The choice of a name, made when it is first asked for.
     *
     * @param ways names, the usual one first
     */
    Choice choice(String what, List<String> ways, Choice.Trial trial) {
        return choices.computeIfAbsent(what, name -> new Choice(name, measures() ? ways : ways.subList(0, 1), trial));
    }

    /** Decides what is still open. */
    void decide() {
        List.copyOf(choices.values()).forEach(this::decide);
    }

    /** Decides a choice that cannot wait until then, if it is still open. */
    void decide(Choice choice) {
        if (!choice.isDecided()) {
            String noted = cache.find(choice.what());
            choice.take(noted != null && choice.ways().contains(noted) ? choice.ways().indexOf(noted)
                    : measured(choice));
        }
    }

    private int measured(Choice choice) {
        double[] seconds = timer.seconds(choice.trial());
        if (seconds.length == 0) {
            return 0;
        }
        int best = fastest(seconds);
        cache.note(choice.what(), choice.ways().get(best), seconds[best]);
        return best;
    }

    /** The way with the least time, but the first unless another is clearly faster. */
    static int fastest(double... seconds) {
        int best = 0;
        for (int i = 1; i < seconds.length; i++) {
            if (seconds[i] < seconds[best] * (best == 0 ? WORTHWHILE : 1)) {
                best = i;
            }
        }
        return best;
    }

    /** What there was to choose, and the way that is gone. */
    Map<String, String> taken() {
        Map<String, String> taken = new LinkedHashMap<>();
        choices.values().stream().filter(choice -> choice.ways().size() > 1)
                .forEach(choice -> taken.put(choice.what(), choice.way()));
        return taken;
    }

    /** On the GPU, in memory that is given back. */
    static Timer on(CudaContext context) {
        return trial -> {
            try (MemoryPlan scratch = new MemoryPlan()) {
                List<Runnable> ways = trial.plan(scratch);
                if (scratch.bytes() > context.freeMemory()) {
                    return new double[0];
                }
                scratch.allocate(bytes -> {
                    CudaMemory memory = new CudaMemory(context, bytes);
                    TurnTimer.fill(context, memory);
                    return memory;
                });
                return TurnTimer.seconds(context, ways);
            }
        };
    }
}
