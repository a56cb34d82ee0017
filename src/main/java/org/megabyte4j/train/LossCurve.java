package org.megabyte4j.train;

/**
 * A curve of any length in bounded memory: means over bins of equal width in steps, which double their width when they
 * become too many.
 */
final class LossCurve {
    private final int limit;
    private long width = 1;
    private final double[] sums;
    private final double[] steps;
    private final int[] counts;

    /** @param limit most bins, an even number */
    LossCurve(int limit) {
        this.limit = limit;
        sums = new double[limit];
        steps = new double[limit];
        counts = new int[limit];
    }

    void add(long step, double value) {
        while (step / width >= limit) {
            halve();
        }
        int bin = (int) (step / width);
        sums[bin] += value;
        steps[bin] += step;
        counts[bin]++;
    }

    private void halve() {
        for (int bin = 0; bin < limit / 2; bin++) {
            sums[bin] = sums[2 * bin] + sums[2 * bin + 1];
            steps[bin] = steps[2 * bin] + steps[2 * bin + 1];
            counts[bin] = counts[2 * bin] + counts[2 * bin + 1];
        }
        for (int bin = limit / 2; bin < limit; bin++) {
            sums[bin] = 0;
            steps[bin] = 0;
            counts[bin] = 0;
        }
        width *= 2;
    }

    /** How many bins hold something. */
    int points() {
        int points = 0;
        for (int count : counts) {
            points += count > 0 ? 1 : 0;
        }
        return points;
    }

    /** Mean step of each bin that holds something. */
    double[] meanSteps() {
        return means(steps);
    }

    /** Mean value of each bin that holds something. */
    double[] meanValues() {
        return means(sums);
    }

    private double[] means(double[] of) {
        double[] means = new double[points()];
        int next = 0;
        for (int bin = 0; bin < limit; bin++) {
            if (counts[bin] > 0) {
                means[next++] = of[bin] / counts[bin];
            }
        }
        return means;
    }
}
