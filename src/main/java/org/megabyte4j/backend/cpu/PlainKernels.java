package org.megabyte4j.backend.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** {@link Kernels} in plain loops: the specification. */
final class PlainKernels implements Kernels {
    static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /**
     * All memory. Kernels address it directly: shapes are checked in the dry run, see
     * {@link org.megabyte4j.backend.ShapeChecks}, and a check for each element keeps the compiler from good loops.
     */
    static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    static float get(MemorySegment x, long index) {
        return ALL.get(FLOAT, x.address() + (index << 2));
    }

    static void set(MemorySegment x, long index, float value) {
        ALL.set(FLOAT, x.address() + (index << 2), value);
    }

    @Override
    public String name() {
        return "plain loops";
    }

    @Override
    public void fill(MemorySegment x, long at, int count, float value) {
        for (int n = 0; n < count; n++) {
            long i = at + n;
            set(x, i, value);
        }
    }

    @Override
    public void scale(MemorySegment x, long at, int count, float factor) {
        for (int n = 0; n < count; n++) {
            long i = at + n;
            set(x, i, get(x, i) * factor);
        }
    }

    @Override
    public void add(MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        for (int i = 0; i < count; i++) {
            set(to, at + i, get(to, at + i) + get(from, fromAt + i));
        }
    }

    @Override
    public void addScaled(float factor, MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        for (int i = 0; i < count; i++) {
            set(to, at + i, Math.fma(factor, get(from, fromAt + i), get(to, at + i)));
        }
    }

    @Override
    public void product(Weights weights, MemorySegment rows, long rowAt, int rowStride, MemorySegment out, long at,
            int stride, int size, boolean add) {
        for (int r = 0; r < weights.count(); r++) {
            long weight = weights.at() + (long) r * weights.rowStride();
            for (int i = 0; i < size; i++) {
                long to = at + (long) r * stride + i;
                float sum = add ? get(out, to) : 0;
                for (int k = 0; k < weights.inner(); k++) {
                    sum = Math.fma(get(weights.memory(), weight + (long) k * weights.innerStride()),
                            get(rows, rowAt + i + (long) k * rowStride), sum);
                }
                set(out, to, sum);
            }
        }
    }

    @Override
    public void softmaxRows(MemorySegment x, long at, int rows, int width, MemorySegment lse, long lseAt) {
        for (int r = 0; r < rows; r++) {
            long row = at + (long) r * width;
            float largest = max(x, row, width);
            exp(x, row, largest, 1, x, row, width);
            float sum = sum(x, row, width);
            scale(x, row, width, 1 / sum);
            set(lse, lseAt + r, (float) (largest + Math.log(sum)));
        }
    }

    @Override
    public void expRows(MemorySegment x, long at, int rows, int width, MemorySegment shifts, long shiftAt) {
        for (int r = 0; r < rows; r++) {
            long row = at + (long) r * width;
            exp(x, row, get(shifts, shiftAt + r), 1, x, row, width);
        }
    }

    @Override
    public void transpose(float factor, MemorySegment from, long fromAt, int rows, int fromStride, int columns,
            MemorySegment out, long at, int stride) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float value = get(from, fromAt + column + (long) row * fromStride);
                set(out, at + row + (long) column * stride, factor * value);
            }
        }
    }

    @Override
    public float dot(MemorySegment a, long aAt, MemorySegment b, long bAt, int count) {
        float sum = 0;
        for (int i = 0; i < count; i++) {
            sum = Math.fma(get(a, aAt + i), get(b, bAt + i), sum);
        }
        return sum;
    }

    @Override
    public float dotBf16(MemorySegment a, long aAt, MemorySegment b, long bAt, int count) {
        float sum = 0;
        for (int i = 0; i < count; i++) {
            sum = Math.fma(get(a, aAt + i), BFloat16.get(b, bAt + i), sum);
        }
        return sum;
    }

    @Override
    public void widen(MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        for (int i = 0; i < count; i++) {
            set(to, at + i, BFloat16.get(from, fromAt + i));
        }
    }

    @Override
    public float sum(MemorySegment x, long at, int count) {
        float sum = 0;
        for (int n = 0; n < count; n++) {
            long i = at + n;
            sum += get(x, i);
        }
        return sum;
    }

    @Override
    public float max(MemorySegment x, long at, int count) {
        float largest = Float.NEGATIVE_INFINITY;
        for (int n = 0; n < count; n++) {
            long i = at + n;
            largest = Math.max(largest, get(x, i));
        }
        return largest;
    }

    @Override
    public double sumOfSquares(MemorySegment x, long at, int count) {
        double sum = 0;
        for (int n = 0; n < count; n++) {
            long i = at + n;
            double value = get(x, i);
            sum += value * value;
        }
        return sum;
    }

    @Override
    public float squaredDeviation(MemorySegment x, long at, int count, float mean) {
        float sum = 0;
        for (int n = 0; n < count; n++) {
            long i = at + n;
            float difference = get(x, i) - mean;
            sum = Math.fma(difference, difference, sum);
        }
        return sum;
    }

    @Override
    public void normalize(MemorySegment x, long at, float mean, float rstd, MemorySegment weight, MemorySegment bias,
            MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float normed = (get(x, at + i) - mean) * rstd;
            set(out, outAt + i, Math.fma(normed, get(weight, i), get(bias, i)));
        }
    }

    @Override
    public float weightedDeviation(MemorySegment a, long aAt, MemorySegment b, long bAt, MemorySegment x, long at,
            int count, float mean) {
        float sum = 0;
        for (int i = 0; i < count; i++) {
            sum = Math.fma(get(a, aAt + i) * get(b, bAt + i), get(x, at + i) - mean, sum);
        }
        return sum;
    }

    @Override
    public void addNormalized(MemorySegment gradient, MemorySegment x, long at, float mean, float rstd,
            MemorySegment sums, int count) {
        for (int i = 0; i < count; i++) {
            set(sums, i, Math.fma(get(gradient, at + i), (get(x, at + i) - mean) * rstd, get(sums, i)));
        }
    }

    @Override
    public void normalizeBackward(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd,
            MemorySegment weight, float meanGradient, float meanProduct, MemorySegment dX, int count) {
        for (int i = 0; i < count; i++) {
            float normed = (get(x, at + i) - mean) * rstd;
            float through = get(dOut, at + i) * get(weight, i) - meanGradient;
            set(dX, at + i, Math.fma(-normed, meanProduct, through) * rstd);
        }
    }

    @Override
    public void normalizeBackwardResidual(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd,
            MemorySegment weight, float meanGradient, float meanProduct, MemorySegment residual, MemorySegment dX,
            int count) {
        for (int i = 0; i < count; i++) {
            float normed = (get(x, at + i) - mean) * rstd;
            float through = get(dOut, at + i) * get(weight, i) - meanGradient;
            set(dX, at + i, Math.fma(Math.fma(-normed, meanProduct, through), rstd, get(residual, at + i)));
        }
    }

    @Override
    public void gelu(MemorySegment x, long at, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            float value = get(x, at + i);
            set(out, outAt + i, value * FloatMath.normalCdf(value));
        }
    }

    @Override
    public void geluBackward(MemorySegment x, MemorySegment dOut, MemorySegment dX, MemorySegment out, long at,
            int count) {
        for (int n = 0; n < count; n++) {
            long i = at + n;
            float value = get(x, i);
            float cdf = FloatMath.normalCdf(value);
            set(dX, i, get(dOut, i) * Math.fma(value, FloatMath.normalDensity(value), cdf));
            set(out, i, value * cdf);
        }
    }

    @Override
    public void exp(MemorySegment x, long at, float shift, float factor, MemorySegment out, long outAt, int count) {
        for (int i = 0; i < count; i++) {
            set(out, outAt + i, FloatMath.exp(get(x, at + i) - shift) * factor);
        }
    }

    @Override
    public float sumExp(MemorySegment x, long at, float shift, int count) {
        float sum = 0;
        for (int i = 0; i < count; i++) {
            sum += FloatMath.exp(get(x, at + i) - shift);
        }
        return sum;
    }

    @Override
    public void addRamp(MemorySegment x, long at, int count, float start, float step) {
        for (int i = 0; i < count; i++) {
            set(x, at + i, get(x, at + i) + Math.fma(i, step, start));
        }
    }

    @Override
    public void softmaxBackward(MemorySegment p, long pAt, MemorySegment dP, long at, int count, float delta,
            float scale) {
        for (int i = 0; i < count; i++) {
            set(dP, at + i, get(p, pAt + i) * (get(dP, at + i) - delta) * scale);
        }
    }

    @Override
    public void adamW(MemorySegment p, MemorySegment g, MemorySegment m, MemorySegment v, long at, int count,
            AdamWStep step) {
        for (int n = 0; n < count; n++) {
            long i = at + n;
            float gradient = get(g, i) * step.clip();
            float first = Math.fma(step.beta1(), get(m, i), step.firstShare() * gradient);
            float second = Math.fma(step.beta2(), get(v, i), step.secondShare() * gradient * gradient);
            set(m, i, first);
            set(v, i, second);
            float root = (float) Math.sqrt(second) / step.rootCorrection() + step.epsilon();
            set(p, i, get(p, i) * step.keep() - step.rate() * first / root);
        }
    }
}
