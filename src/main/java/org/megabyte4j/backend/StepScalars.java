package org.megabyte4j.backend;

/**
 * What changes from one optimiser step to the next. It travels in a small float32 tensor, so that a recorded program
 * can be replayed with new values.
 *
 * @param learningRate    the schedule's value; for Adafactor's relative step {@code min(0.01, 1/sqrt(step))}
 * @param firstCorrection {@code 1 - beta1^step}
 * @param secondCorrection {@code 1 - beta2^step}
 * @param secondDecay     Adafactor's decay of the squared gradients at this step, {@code 1 - step^decayRate}
 */
public record StepScalars(float learningRate, float firstCorrection, float secondCorrection, float secondDecay) {
    /** Elements of the tensor; they stand in the order of the components. */
    public static final int COUNT = 4;

    public float[] toArray() {
        return new float[] {learningRate, firstCorrection, secondCorrection, secondDecay};
    }
}
