package org.megabyte4j.backend.cpu;

import static org.megabyte4j.backend.cpu.CpuTensors.segment;
import static org.megabyte4j.backend.cpu.PlainKernels.FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/**
 * Adafactor (Shazeer and Stern 2018, arXiv 1804.04235), one parameter tensor after the other. Sums run over rows in
 * each thread and then over threads, in double precision.
 */
final class AdafactorOps {
    private final Workers workers;

    AdafactorOps(Workers workers) {
        this.workers = workers;
    }

    /** One tensor's buffers: a vector is a matrix of one column that is not factored. */
    private record Block(MemorySegment p, MemorySegment g, long at, MemorySegment state, long stateAt, int rows,
            int columns, boolean factored) {
        float gradient(long row, long column, float clip) {
            return g.getAtIndex(FLOAT, at + row * columns + column) * clip;
        }

        float rowState(long row) {
            return state.getAtIndex(FLOAT, stateAt + row);
        }

        float columnState(long column) {
            return state.getAtIndex(FLOAT, stateAt + rows + column);
        }
    }

    void step(Ops.AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Ops.Clip clip,
            Tensor parameters, Tensor gradients, Tensor state) {
        MemorySegment values = segment(scalars);
        float relativeStep = values.getAtIndex(FLOAT, 0);
        float secondDecay = values.getAtIndex(FLOAT, 3);
        float factor = AdamWOps.clipFactor(clip);
        MemorySegment p = segment(parameters);
        MemorySegment g = segment(gradients);
        MemorySegment s = segment(state);
        List<ParameterLayout.Entry> entries = layout.entries();
        long stateAt = 0;
        for (int e = 0; e < entries.size(); e++) {
            ParameterLayout.Entry entry = entries.get(e);
            boolean factored = entry.shape().length == 2;
            int rows = Math.toIntExact(factored ? entry.shape()[0] : entry.elements());
            int columns = factored ? Math.toIntExact(entry.shape()[1]) : 1;
            Block block = new Block(p, g, entry.offset(), s, stateAt, rows, columns, factored);
            update(settings, block, decays[e], relativeStep, secondDecay, factor);
            stateAt += factored ? rows + columns : rows;
        }
    }

    private void update(Ops.AdafactorSettings settings, Block block, boolean decay, float relativeStep,
            float secondDecay, float clip) {
        double[] rootOfRows = new double[block.rows];
        double[] rootOfColumns = new double[block.columns];
        accumulate(settings, block, secondDecay, clip, rootOfRows, rootOfColumns);

        double[] updateSquares = new double[workers.threads()];
        double[] parameterSquares = new double[workers.threads()];
        workers.run((thread, threads) -> {
            double updates = 0;
            double squares = 0;
            for (int row = from(block, thread, threads); row < from(block, thread + 1, threads); row++) {
                for (int column = 0; column < block.columns; column++) {
                    double u = rootOfRows[row] * rootOfColumns[column] * block.gradient(row, column, clip);
                    double w = block.p.getAtIndex(FLOAT, block.at + (long) row * block.columns + column);
                    updates += u * u;
                    squares += w * w;
                }
            }
            updateSquares[thread] = updates;
            parameterSquares[thread] = squares;
        });
        long elements = (long) block.rows * block.columns;
        double updateScale = Math.max(1, rootMean(updateSquares, elements) / settings.clipThreshold());
        double learningRate = relativeStep;
        if (settings.scaleParameter()) {
            learningRate *= Math.max(settings.epsilon2(), rootMean(parameterSquares, elements));
        }
        double rate = learningRate / updateScale;
        double weightDecay = settings.dynamicWeightDecay() ? learningRate * learningRate : settings.weightDecay();
        double keep = decay ? 1 - learningRate * weightDecay : 1;
        workers.run((thread, threads) -> {
            for (int row = from(block, thread, threads); row < from(block, thread + 1, threads); row++) {
                for (int column = 0; column < block.columns; column++) {
                    long at = block.at + (long) row * block.columns + column;
                    double u = rootOfRows[row] * rootOfColumns[column] * block.gradient(row, column, clip);
                    block.p.setAtIndex(FLOAT, at, (float) (block.p.getAtIndex(FLOAT, at) * keep - rate * u));
                }
            }
        });
    }

    /** Updates the means of the squared gradients, and gives the two factors of one over their root. */
    private void accumulate(Ops.AdafactorSettings settings, Block block, float secondDecay, float clip,
            double[] rootOfRows, double[] rootOfColumns) {
        double[][] columnSums = new double[workers.threads()][block.columns];
        double[] rowSums = new double[block.rows];
        workers.run((thread, threads) -> {
            double[] sums = columnSums[thread];
            for (int row = from(block, thread, threads); row < from(block, thread + 1, threads); row++) {
                for (int column = 0; column < block.columns; column++) {
                    double gradient = block.gradient(row, column, clip);
                    double square = gradient * gradient + settings.epsilon1();
                    rowSums[row] += square;
                    sums[column] += square;
                }
            }
        });
        double meanOfRows = 0;
        for (int row = 0; row < block.rows; row++) {
            double mean = secondDecay * (double) block.rowState(row) + (1 - secondDecay) * rowSums[row] / block.columns;
            block.state.setAtIndex(FLOAT, block.stateAt + row, (float) mean);
            rootOfRows[row] = mean;
            meanOfRows += mean / block.rows;
        }
        for (int row = 0; row < block.rows; row++) {
            rootOfRows[row] = 1 / Math.sqrt(block.factored ? rootOfRows[row] / meanOfRows : rootOfRows[row]);
        }
        for (int column = 0; column < block.columns; column++) {
            if (!block.factored) {
                rootOfColumns[column] = 1;
                continue;
            }
            double sum = 0;
            for (double[] sums : columnSums) {
                sum += sums[column];
            }
            double mean = secondDecay * (double) block.columnState(column) + (1 - secondDecay) * sum / block.rows;
            block.state.setAtIndex(FLOAT, block.stateAt + block.rows + column, (float) mean);
            rootOfColumns[column] = 1 / Math.sqrt(mean);
        }
    }

    private static int from(Block block, int thread, int threads) {
        return (int) ((long) block.rows * thread / threads);
    }

    private static double rootMean(double[] sums, long elements) {
        double sum = 0;
        for (double threadSum : sums) {
            sum += threadSum;
        }
        return Math.sqrt(sum / elements);
    }
}
