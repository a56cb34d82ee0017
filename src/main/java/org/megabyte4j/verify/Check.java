package org.megabyte4j.verify;

/**
 * One comparison with a recorded result.
 *
 * @param name      what was compared
 * @param error     how far off, in the unit of the tolerance; NaN never passes
 * @param tolerance the largest error that passes
 */
public record Check(String name, double error, double tolerance) {
    public boolean passed() {
        return error <= tolerance;
    }

    /**
     * {@code ||actual - expected|| / ||expected||}, or {@code ||actual||} where nothing but zeros is expected.
     *
     * @throws IllegalArgumentException if the lengths differ
     */
    static Check relative(String name, float[] actual, float[] expected, double tolerance) {
        if (actual.length != expected.length) {
            throw new IllegalArgumentException(name + ": " + actual.length + " elements against " + expected.length);
        }
        double difference = 0;
        double norm = 0;
        for (int i = 0; i < actual.length; i++) {
            double d = (double) actual[i] - expected[i];
            difference += d * d;
            norm += (double) expected[i] * expected[i];
        }
        return new Check(name, Math.sqrt(norm > 0 ? difference / norm : difference), tolerance);
    }

    static Check relative(String name, double actual, double expected, double tolerance) {
        double difference = Math.abs(actual - expected);
        return new Check(name, expected == 0 ? difference : difference / Math.abs(expected), tolerance);
    }

    static double norm(float[] values) {
        double squares = 0;
        for (float value : values) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }
}
