package org.megabyte4j.generate;

import org.megabyte4j.backend.SamplingSettings;

/**
 * How the next id is chosen from its logits. The filters work in the order in which Hugging Face applies them:
 * repetition penalty, temperature, top-k, top-p; then one draw.
 *
 * @param temperature       divides the logits; 0 takes the largest logit, the lowest id among equals, without a draw
 * @param topK              keeps this many ids of the largest logits; 0 for no limit
 * @param topP              keeps the fewest ids that hold this much probability (nucleus sampling, Holtzman et al.
 *                          2020); 1 for no limit
 * @param repetitionPenalty for ids that the prompt or the continuation holds already, positive logits are divided by
 *                          it and negative ones multiplied (CTRL, Keskar et al. 2019); 1 for none
 * @param seed              the draw at a place depends on the seed, the sequence's number and the place alone
 * @param bytesOnly         chooses among the 256 bytes and eos alone. Otherwise any of the V ids can be chosen, padding
 *                          and ids without meaning too, as in the reference
 */
public record SamplingOptions(double temperature, int topK, double topP, double repetitionPenalty, long seed,
        boolean bytesOnly) {

    /** @throws GenerationException if a value makes no sense; the message names it and what would */
    public SamplingOptions {
        if (!(temperature >= 0) || Double.isInfinite(temperature)) {
            throw new GenerationException("temperature " + temperature
                    + " is not possible; use 0 for greedy choice, or a positive number such as 0.8");
        }
        if (topK < 0) {
            throw new GenerationException("top-k " + topK + " is not possible; use at least 1, or 0 for no limit");
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new GenerationException("top-p " + topP
                    + " is not possible; use a number above 0, and at most 1 for no limit");
        }
        if (!(repetitionPenalty > 0) || Double.isInfinite(repetitionPenalty)) {
            throw new GenerationException("repetition penalty " + repetitionPenalty
                    + " is not possible; use a positive number, 1 for none");
        }
    }

    /** The id of the largest logit, always. */
    public static SamplingOptions greedy() {
        return new SamplingOptions(0, 0, 1, 1, 0, false);
    }

    /** Draws from the model's own distribution. */
    public static SamplingOptions random(long seed) {
        return new SamplingOptions(1, 0, 1, 1, seed, false);
    }

    /** What a device has to know of it. */
    SamplingSettings settings() {
        return new SamplingSettings(temperature, topK, topP, repetitionPenalty, seed);
    }

    public SamplingOptions withTemperature(double value) {
        return new SamplingOptions(value, topK, topP, repetitionPenalty, seed, bytesOnly);
    }

    public SamplingOptions withTopK(int value) {
        return new SamplingOptions(temperature, value, topP, repetitionPenalty, seed, bytesOnly);
    }

    public SamplingOptions withTopP(double value) {
        return new SamplingOptions(temperature, topK, value, repetitionPenalty, seed, bytesOnly);
    }

    public SamplingOptions withRepetitionPenalty(double value) {
        return new SamplingOptions(temperature, topK, topP, value, seed, bytesOnly);
    }

    public SamplingOptions withSeed(long value) {
        return new SamplingOptions(temperature, topK, topP, repetitionPenalty, value, bytesOnly);
    }

    public SamplingOptions withBytesOnly(boolean value) {
        return new SamplingOptions(temperature, topK, topP, repetitionPenalty, seed, value);
    }
}
