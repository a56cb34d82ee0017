package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonProperty;
import org.megabyte4j.model.Recomputation;

/**
 * Everything beside model and data that decides what a training run computes.
 *
 * @param batch      sequences that go through the model at once
 * @param length     bytes in each, a multiple of the patch size
 * @param accumulate batches whose gradients make one step
 * @param clip       largest global norm of the gradients; 0 for no clipping
 * @param optimizer  the optimiser and its constants
 * @param schedule   the learning rate
 * @param recomputation what is computed again to save memory; that changes the order of sums at most
 */
public record TrainOptions(
        @JsonProperty("batch") int batch,
        @JsonProperty("seq_len") int length,
        @JsonProperty("accumulate") int accumulate,
        @JsonProperty("clip") double clip,
        @JsonProperty("optimizer") OptimizerOptions optimizer,
        @JsonProperty("schedule") Schedule schedule,
        @JsonProperty("recomputation") Recomputation recomputation) {

    /** @throws TrainException if a number is out of its range */
    @JsonCreator
    public TrainOptions {
        if (batch < 1) {
            throw new TrainException("--batch " + batch + " is not possible; use at least 1");
        }
        if (length < 1) {
            throw new TrainException("--seq-len " + length + " is not possible; use a multiple of the patch size");
        }
        if (accumulate < 1) {
            throw new TrainException("--accumulate " + accumulate + " is not possible; use at least 1");
        }
        if ((double) batch * length * accumulate > Integer.MAX_VALUE) {
            throw new TrainException("--batch " + batch + " of --seq-len " + length + " with --accumulate " + accumulate
                    + " is more than the " + Integer.MAX_VALUE + " bytes that a step can take; use less");
        }
        if (!(clip >= 0)) {
            throw new TrainException("--clip " + clip + " is not 0 or a positive number; 1 is usual, 0 switches it off");
        }
    }

    /** Options of a training that keeps all activations. */
    public TrainOptions(int batch, int length, int accumulate, double clip, OptimizerOptions optimizer,
            Schedule schedule) {
        this(batch, length, accumulate, clip, optimizer, schedule, Recomputation.NONE);
    }

    /** AdamW at a constant rate, gradients clipped at 1. */
    public static TrainOptions of(int batch, int length, double learningRate) {
        return new TrainOptions(batch, length, 1, 1, OptimizerOptions.adamW(), Schedule.constant(learningRate));
    }

    /** The same with another batch. */
    public TrainOptions withBatch(int other) {
        return new TrainOptions(other, length, accumulate, clip, optimizer, schedule, recomputation);
    }

    /** The same with another recomputation. */
    public TrainOptions withRecomputation(Recomputation other) {
        return new TrainOptions(batch, length, accumulate, clip, optimizer, schedule, other);
    }

    /** Bytes that one step learns from. */
    public long bytesPerStep() {
        return (long) batch * length * accumulate;
    }
}
