package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.time.Instant;

/** One line of {@code metrics.jsonl}. */
public sealed interface Metric {
    /** Steps done when it was taken. */
    long step();

    /** When it was taken. */
    Instant time();

    /** Nats as bits: per byte, if the nats are. */
    static double bits(double nats) {
        return nats / Math.log(2);
    }

    /**
     * A training step.
     *
     * @param step           counted from 1
     * @param loss           of the step's batch before its update, nats per byte
     * @param gradientNorm   global L2 norm of the gradients before clipping
     * @param learningRate   of this step
     * @param bytes          that all steps so far have learned from
     * @param bytesPerSecond since the line before, without evaluation and checkpoints
     * @param time           when the loss was known
     */
    @JsonPropertyOrder({"step", "loss", "bits_per_byte", "gradient_norm", "learning_rate", "bytes"})
    record Step(
            @JsonProperty("step") long step,
            @JsonProperty("loss") float loss,
            @JsonProperty("gradient_norm") float gradientNorm,
            @JsonProperty("learning_rate") float learningRate,
            @JsonProperty("bytes") long bytes,
            @JsonProperty("bytes_per_second") long bytesPerSecond,
            @JsonProperty("time") Instant time) implements Metric {
        @JsonProperty("bits_per_byte")
        public float bitsPerByte() {
            return (float) bits(loss);
        }
    }

    /**
     * A validation.
     *
     * @param step  steps that the model had learned
     * @param loss  mean over the validation bytes, nats per byte
     * @param bytes validated on
     * @param time  when it ended
     */
    @JsonPropertyOrder({"step", "valid_loss", "valid_bits_per_byte", "valid_bytes"})
    record Validation(
            @JsonProperty("step") long step,
            @JsonProperty("valid_loss") double loss,
            @JsonProperty("valid_bytes") long bytes,
            @JsonProperty("time") Instant time) implements Metric {
        @JsonProperty("valid_bits_per_byte")
        public double bitsPerByte() {
            return bits(loss);
        }
    }
}
