package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonProperty;

/**
 * The learning rate as a function of the step alone: a linear warm-up from 0, then constant, linear or cosine.
 *
 * @param kind   how it goes on after the warm-up
 * @param peak   the rate at the end of the warm-up
 * @param warmup steps of warm-up, 0 for none
 * @param steps  steps of the whole training; linear and cosine reach 0 behind the last of them
 */
public record Schedule(
        @JsonProperty("name") Kind kind,
        @JsonProperty("lr") double peak,
        @JsonProperty("warmup") long warmup,
        @JsonProperty("steps") long steps) {

    /** How the rate goes on after the warm-up. */
    public enum Kind {
        @JsonProperty("constant") CONSTANT,
        @JsonProperty("linear") LINEAR,
        @JsonProperty("cosine") COSINE;

        @Override
        public String toString() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }
    }

    /** @throws TrainException if the numbers describe no schedule */
    public Schedule {
        if (!(peak > 0) || Double.isInfinite(peak)) {
            throw new TrainException("--lr " + peak + " is not a positive number; 0.001 is a good start");
        }
        if (warmup < 0) {
            throw new TrainException("--warmup " + warmup + " is negative; use 0 or more steps");
        }
        if (steps < 1) {
            throw new TrainException("--steps " + steps + " is not possible; use at least 1");
        }
        if (kind != Kind.CONSTANT && warmup >= steps) {
            throw new TrainException("--warmup " + warmup + " leaves nothing of --steps " + steps
                    + "; use fewer steps of warm-up");
        }
    }

    /** A rate that never changes. */
    public static Schedule constant(double rate) {
        return new Schedule(Kind.CONSTANT, rate, 0, Long.MAX_VALUE);
    }

    /** Whether the rates stay what they are if there are more or fewer steps. */
    @JsonIgnore
    public boolean isExtensible() {
        return kind == Kind.CONSTANT;
    }

    /**
     * The rate of one step.
     *
     * @param step counted from 1
     */
    public double at(long step) {
        if (step <= warmup) {
            return peak * step / warmup;
        }
        double done = Math.min(1, (double) (step - 1 - warmup) / Math.max(1, steps - warmup));
        return switch (kind) {
            case CONSTANT -> peak;
            case LINEAR -> peak * (1 - done);
            case COSINE -> peak * 0.5 * (1 + Math.cos(Math.PI * done));
        };
    }
}
