package org.megabyte4j.backend;

/**
 * What changes from one optimiser step to the next. It travels in a small float32 tensor, so that a recorded program
 * can be replayed with new values:
 *
 * <ol>
 * <li>the learning rate, the schedule's value; for Adafactor's relative step {@code min(0.01, 1/sqrt(step))}
 * <li>{@code 1 - beta1^step}
 * <li>{@code 1 - beta2^step}
 * <li>Adafactor's decay of the squared gradients at this step, {@code 1 - step^decayRate}
 * </ol>
 */
public final class StepScalars {
    /** Elements of the tensor. */
    public static final int COUNT = 4;
    /** The index of the learning rate. */
    public static final int LEARNING_RATE = 0;

    private StepScalars() {
    }

    /** Puts them in their order. */
    public static void put(float[] scalars, float learningRate, float firstCorrection, float secondCorrection,
            float secondDecay) {
        scalars[LEARNING_RATE] = learningRate;
        scalars[1] = firstCorrection;
        scalars[2] = secondCorrection;
        scalars[3] = secondDecay;
    }

    /** As {@link #put}, in an array of their own. */
    public static float[] of(float learningRate, float firstCorrection, float secondCorrection, float secondDecay) {
        float[] scalars = new float[COUNT];
        put(scalars, learningRate, firstCorrection, secondCorrection, secondDecay);
        return scalars;
    }
}
