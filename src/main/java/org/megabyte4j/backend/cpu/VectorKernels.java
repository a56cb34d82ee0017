package org.megabyte4j.backend.cpu;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels} with the Vector API. What is left over behind the last whole vector goes through the plain loops.
 * Reductions keep several sums side by side, so they round differently from the plain loops, but always in the same
 * way: {@code reduceLanes} and {@code lanewise(EXP)} are not used for sums and exponentials, since their results differ
 * between interpreted and compiled code. Each loop is kept to few vector operations, as the compiler allocates what it
 * cannot inline.
 */
final class VectorKernels implements Kernels {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> HALVES =
            VectorSpecies.of(short.class, VectorShape.forBitSize(FLOATS.vectorBitSize() / 2));
    private static final VectorSpecies<Integer> INTS = FLOATS.withLanes(int.class);
    private static final int LANES = FLOATS.length();

    private static final VectorShuffle<Float> TURN_1 = VectorShuffle.iota(FLOATS, 1 % LANES, 1, true);
    private static final VectorShuffle<Float> TURN_2 = VectorShuffle.iota(FLOATS, 2 % LANES, 1, true);
    private static final VectorShuffle<Float> TURN_4 = VectorShuffle.iota(FLOATS, 4 % LANES, 1, true);
    private static final VectorShuffle<Float> TURN_8 = VectorShuffle.iota(FLOATS, 8 % LANES, 1, true);

    private static final FloatVector E7 = FloatVector.broadcast(FLOATS, FloatMath.E7);
    private static final FloatVector E6 = FloatVector.broadcast(FLOATS, FloatMath.E6);
    private static final FloatVector E5 = FloatVector.broadcast(FLOATS, FloatMath.E5);
    private static final FloatVector E4 = FloatVector.broadcast(FLOATS, FloatMath.E4);
    private static final FloatVector E3 = FloatVector.broadcast(FLOATS, FloatMath.E3);
    private static final FloatVector HALF = FloatVector.broadcast(FLOATS, 0.5f);
    private static final FloatVector M1 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[0]);
    private static final FloatVector M2 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[1]);
    private static final FloatVector M3 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[2]);
    private static final FloatVector M4 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[3]);
    private static final FloatVector M5 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[4]);
    private static final FloatVector M6 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[5]);
    private static final FloatVector M7 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[6]);
    private static final FloatVector M8 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[7]);
    private static final FloatVector M9 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[8]);
    private static final FloatVector M10 = FloatVector.broadcast(FLOATS, FloatMath.MILLS[9]);

    /** Elements of GELU that go through all of its loops before the next ones do. */
    private static final int CHUNK = 512;

    private final PlainKernels plain = new PlainKernels();
    private final ThreadLocal<MemorySegment> scratch =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(2 * CHUNK * 4L, 64));

    /** The sum of all lanes, pair by pair. */
    private static float sumOfLanes(FloatVector v) {
        FloatVector sum = v;
        if (LANES >= 16) {
            sum = sum.add(sum.rearrange(TURN_8));
        }
        if (LANES >= 8) {
            sum = sum.add(sum.rearrange(TURN_4));
        }
        if (LANES >= 4) {
            sum = sum.add(sum.rearrange(TURN_2));
        }
        if (LANES >= 2) {
            sum = sum.add(sum.rearrange(TURN_1));
        }
        return sum.lane(0);
    }

    private static FloatVector load(MemorySegment x, long index) {
        return FloatVector.fromMemorySegment(FLOATS, PlainKernels.ALL, x.address() + (index << 2), LITTLE_ENDIAN);
    }

    /** As many elements of bf16, which are the upper halves of float32. */
    private static FloatVector loadBf16(MemorySegment x, long index) {
        var halves = ShortVector.fromMemorySegment(HALVES, PlainKernels.ALL, x.address() + (index << 1), LITTLE_ENDIAN);
        var wide = (IntVector) halves.convertShape(VectorOperators.S2I, INTS, 0);
        return wide.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
    }

    private static void store(FloatVector value, MemorySegment x, long index) {
        value.intoMemorySegment(PlainKernels.ALL, x.address() + (index << 2), LITTLE_ENDIAN);
    }

    /** How many of {@code count} elements whole vectors cover. */
    private static int whole(int count) {
        return count & -LANES;
    }

    @Override
    public String name() {
        return FLOATS.vectorBitSize() + "-bit vectors";
    }

    @Override
    public void fill(MemorySegment x, long at, int count, float value) {
        FloatVector values = FloatVector.broadcast(FLOATS, value);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(values, x, at + i);
        }
        plain.fill(x, at + end, count - end, value);
    }

    @Override
    public void scale(MemorySegment x, long at, int count, float factor) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(load(x, at + i).mul(factor), x, at + i);
        }
        plain.scale(x, at + end, count - end, factor);
    }

    @Override
    public void add(MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(load(to, at + i).add(load(from, fromAt + i)), to, at + i);
        }
        plain.add(from, fromAt + end, to, at + end, count - end);
    }

    @Override
    public void addScaled(float factor, MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        FloatVector factors = FloatVector.broadcast(FLOATS, factor);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(load(from, fromAt + i).fma(factors, load(to, at + i)), to, at + i);
        }
        plain.addScaled(factor, from, fromAt + end, to, at + end, count - end);
    }

    @Override
    public void product(Weights weights, MemorySegment rows, long rowAt, int rowStride, MemorySegment out, long at,
            int stride, int size, boolean add) {
        int end = whole(size);
        if (!add) {
            for (int r = 0; r < weights.count(); r++) {
                fill(out, at + (long) r * stride, end, 0);
            }
        }
        long weight = weights.memory().address() + (weights.at() << 2);
        long row = rows.address() + (rowAt << 2);
        long to = out.address() + (at << 2);
        long weightStride = 4L * weights.rowStride();
        long step = 4L * weights.innerStride();
        int whole = weights.count() & -4;
        for (int r = 0; r < weights.count(); r += r < whole ? 4 : 1) {
            for (int i = 0; i < end; i += LANES) {
                if (r < whole) {
                    addProducts4(weight + r * weightStride, weightStride, step, weights.inner(), row + 4L * i,
                            4L * rowStride, to + 4L * ((long) r * stride + i), 4L * stride);
                } else {
                    addProducts(weight + r * weightStride, step, weights.inner(), row + 4L * i, 4L * rowStride,
                            to + 4L * ((long) r * stride + i));
                }
            }
        }
        if (end < size) {
            plain.product(weights, rows, rowAt + end, rowStride, out, at + end, stride, size - end, add);
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
            PlainKernels.set(lse, lseAt + r, (float) (largest + Math.log(sum)));
        }
    }

    @Override
    public void expRows(MemorySegment x, long at, int rows, int width, MemorySegment shifts, long shiftAt) {
        for (int r = 0; r < rows; r++) {
            long row = at + (long) r * width;
            exp(x, row, PlainKernels.get(shifts, shiftAt + r), 1, x, row, width);
        }
    }

    /** One vector of four rows of a product. Addresses and strides are in bytes. */
    private static void addProducts4(long weight, long weightStride, long step, int inner, long row, long rowStride,
            long out, long stride) {
        FloatVector s0 = load(out);
        FloatVector s1 = load(out + stride);
        FloatVector s2 = load(out + 2 * stride);
        FloatVector s3 = load(out + 3 * stride);
        for (int k = 0; k < inner; k++) {
            FloatVector value = load(row);
            s0 = broadcast(weight).fma(value, s0);
            s1 = broadcast(weight + weightStride).fma(value, s1);
            s2 = broadcast(weight + 2 * weightStride).fma(value, s2);
            s3 = broadcast(weight + 3 * weightStride).fma(value, s3);
            weight += step;
            row += rowStride;
        }
        store(s0, out);
        store(s1, out + stride);
        store(s2, out + 2 * stride);
        store(s3, out + 3 * stride);
    }

    /** One vector of one row of a product. */
    private static void addProducts(long weight, long step, int inner, long row, long rowStride, long out) {
        FloatVector sum = load(out);
        for (int k = 0; k < inner; k++) {
            sum = broadcast(weight).fma(load(row), sum);
            weight += step;
            row += rowStride;
        }
        store(sum, out);
    }

    private static FloatVector load(long address) {
        return FloatVector.fromMemorySegment(FLOATS, PlainKernels.ALL, address, LITTLE_ENDIAN);
    }

    private static FloatVector broadcast(long address) {
        return FloatVector.broadcast(FLOATS, PlainKernels.ALL.get(PlainKernels.FLOAT, address));
    }

    private static void store(FloatVector value, long address) {
        value.intoMemorySegment(PlainKernels.ALL, address, LITTLE_ENDIAN);
    }

    @Override
    public void transpose(float factor, MemorySegment from, long fromAt, int rows, int fromStride, int columns,
            MemorySegment out, long at, int stride) {
        plain.transpose(factor, from, fromAt, rows, fromStride, columns, out, at, stride);
    }

    @Override
    public float dot(MemorySegment a, long aAt, MemorySegment b, long bAt, int count) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        int i = 0;
        for (int end = count & -4 * LANES; i < end; i += 4 * LANES) {
            s0 = load(a, aAt + i).fma(load(b, bAt + i), s0);
            s1 = load(a, aAt + i + LANES).fma(load(b, bAt + i + LANES), s1);
            s2 = load(a, aAt + i + 2 * LANES).fma(load(b, bAt + i + 2 * LANES), s2);
            s3 = load(a, aAt + i + 3 * LANES).fma(load(b, bAt + i + 3 * LANES), s3);
        }
        for (int end = whole(count); i < end; i += LANES) {
            s0 = load(a, aAt + i).fma(load(b, bAt + i), s0);
        }
        float sum = sumOfLanes(s0.add(s1).add(s2.add(s3)));
        return i == count ? sum : sum + plain.dot(a, aAt + i, b, bAt + i, count - i);
    }

    @Override
    public float dotBf16(MemorySegment a, long aAt, MemorySegment b, long bAt, int count) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        int i = 0;
        for (int end = count & -4 * LANES; i < end; i += 4 * LANES) {
            s0 = load(a, aAt + i).fma(loadBf16(b, bAt + i), s0);
            s1 = load(a, aAt + i + LANES).fma(loadBf16(b, bAt + i + LANES), s1);
            s2 = load(a, aAt + i + 2 * LANES).fma(loadBf16(b, bAt + i + 2 * LANES), s2);
            s3 = load(a, aAt + i + 3 * LANES).fma(loadBf16(b, bAt + i + 3 * LANES), s3);
        }
        for (int end = whole(count); i < end; i += LANES) {
            s0 = load(a, aAt + i).fma(loadBf16(b, bAt + i), s0);
        }
        float sum = sumOfLanes(s0.add(s1).add(s2.add(s3)));
        return i == count ? sum : sum + plain.dotBf16(a, aAt + i, b, bAt + i, count - i);
    }

    @Override
    public void widen(MemorySegment from, long fromAt, MemorySegment to, long at, int count) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(loadBf16(from, fromAt + i), to, at + i);
        }
        plain.widen(from, fromAt + end, to, at + end, count - end);
    }

    @Override
    public float sum(MemorySegment x, long at, int count) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = count & -2 * LANES; i < end; i += 2 * LANES) {
            s0 = s0.add(load(x, at + i));
            s1 = s1.add(load(x, at + i + LANES));
        }
        return sumOfLanes(s0.add(s1)) + plain.sum(x, at + i, count - i);
    }

    @Override
    public float max(MemorySegment x, long at, int count) {
        FloatVector largest = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            largest = largest.max(load(x, at + i));
        }
        return Math.max(largest.reduceLanes(VectorOperators.MAX), plain.max(x, at + end, count - end));
    }

    @Override
    public double sumOfSquares(MemorySegment x, long at, int count) {
        DoubleVector s0 = DoubleVector.zero(DOUBLES);
        DoubleVector s1 = s0;
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector values = load(x, at + i);
            DoubleVector low = (DoubleVector) values.convertShape(VectorOperators.F2D, DOUBLES, 0);
            DoubleVector high = (DoubleVector) values.convertShape(VectorOperators.F2D, DOUBLES, 1);
            s0 = low.fma(low, s0);
            s1 = high.fma(high, s1);
        }
        double sum = plain.sumOfSquares(x, at + end, count - end);
        for (double lane : s0.add(s1).toArray()) {
            sum += lane;
        }
        return sum;
    }

    @Override
    public float squaredDeviation(MemorySegment x, long at, int count, float mean) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = count & -2 * LANES; i < end; i += 2 * LANES) {
            FloatVector d0 = load(x, at + i).sub(mean);
            FloatVector d1 = load(x, at + i + LANES).sub(mean);
            s0 = d0.fma(d0, s0);
            s1 = d1.fma(d1, s1);
        }
        return sumOfLanes(s0.add(s1)) + plain.squaredDeviation(x, at + i, count - i, mean);
    }

    @Override
    public void normalize(MemorySegment x, long at, float mean, float rstd, MemorySegment weight, MemorySegment bias,
            MemorySegment out, long outAt, int count) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(load(x, at + i).sub(mean).mul(rstd).fma(load(weight, i), load(bias, i)), out, outAt + i);
        }
        if (end < count) {
            plain.normalize(x, at + end, mean, rstd, weight.asSlice((long) end << 2), bias.asSlice((long) end << 2), out, outAt + end,
                    count - end);
        }
    }

    @Override
    public float weightedDeviation(MemorySegment a, long aAt, MemorySegment b, long bAt, MemorySegment x, long at,
            int count, float mean) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        int i = 0;
        for (int end = count & -2 * LANES; i < end; i += 2 * LANES) {
            s0 = load(a, aAt + i).mul(load(b, bAt + i)).fma(load(x, at + i).sub(mean), s0);
            s1 = load(a, aAt + i + LANES).mul(load(b, bAt + i + LANES)).fma(load(x, at + i + LANES).sub(mean), s1);
        }
        return sumOfLanes(s0.add(s1))
                + plain.weightedDeviation(a, aAt + i, b, bAt + i, x, at + i, count - i, mean);
    }

    @Override
    public void addNormalized(MemorySegment gradient, MemorySegment x, long at, float mean, float rstd,
            MemorySegment sums, int count) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector normed = load(x, at + i).sub(mean).mul(rstd);
            store(load(gradient, at + i).fma(normed, load(sums, i)), sums, i);
        }
        if (end < count) {
            plain.addNormalized(gradient, x, at + end, mean, rstd, sums.asSlice((long) end << 2), count - end);
        }
    }

    @Override
    public void normalizeBackward(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd,
            MemorySegment weight, float meanGradient, float meanProduct, MemorySegment dX, int count) {
        FloatVector products = FloatVector.broadcast(FLOATS, -meanProduct);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector normed = load(x, at + i).sub(mean).mul(rstd);
            FloatVector through = load(dOut, at + i).mul(load(weight, i)).sub(meanGradient);
            store(normed.fma(products, through).mul(rstd), dX, at + i);
        }
        if (end < count) {
            plain.normalizeBackward(dOut, x, at + end, mean, rstd, weight.asSlice((long) end << 2), meanGradient, meanProduct,
                    dX, count - end);
        }
    }

    @Override
    public void normalizeBackwardResidual(MemorySegment dOut, MemorySegment x, long at, float mean, float rstd,
            MemorySegment weight, float meanGradient, float meanProduct, MemorySegment residual, MemorySegment dX,
            int count) {
        FloatVector products = FloatVector.broadcast(FLOATS, -meanProduct);
        FloatVector deviations = FloatVector.broadcast(FLOATS, rstd);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector normed = load(x, at + i).sub(mean).mul(rstd);
            FloatVector through = load(dOut, at + i).mul(load(weight, i)).sub(meanGradient);
            store(normed.fma(products, through).fma(deviations, load(residual, at + i)), dX, at + i);
        }
        if (end < count) {
            plain.normalizeBackwardResidual(dOut, x, at + end, mean, rstd, weight.asSlice((long) end << 2), meanGradient,
                    meanProduct, residual, dX, count - end);
        }
    }

    /** {@code density = phi(x)}. */
    private void normalDensity(MemorySegment x, long at, MemorySegment density, int count) {
        for (int i = 0; i < count; i += LANES) {
            FloatVector value = load(x, at + i);
            store(value.mul(value).mul(-0.5f), density, i);
        }
        exp(density, 0, 0, FloatMath.INVERSE_SQRT_TWO_PI, density, 0, count);
    }

    /** {@code cdf = Phi(x)}, see {@link FloatMath}. */
    private static void normalCdf(MemorySegment x, long at, MemorySegment density, MemorySegment cdf, int count) {
        FloatVector one = FloatVector.broadcast(FLOATS, 1);
        FloatVector slope = FloatVector.broadcast(FLOATS, FloatMath.MILLS_SLOPE);
        for (int i = 0; i < count; i += LANES) {
            FloatVector value = load(x, at + i);
            FloatVector t = one.div(value.abs().fma(slope, one));
            FloatVector ratio = M10.fma(t, M9).fma(t, M8).fma(t, M7).fma(t, M6).fma(t, M5).fma(t, M4).fma(t, M3)
                    .fma(t, M2).fma(t, M1);
            FloatVector tail = load(density, i).mul(ratio).mul(t);
            store(tail.blend(one.sub(tail), value.compare(VectorOperators.GT, 0)), cdf, i);
        }
    }

    @Override
    public void gelu(MemorySegment x, long at, MemorySegment out, long outAt, int count) {
        MemorySegment density = scratch.get();
        MemorySegment cdf = density.asSlice(CHUNK * 4L);
        int end = whole(count);
        for (int start = 0; start < end; start += CHUNK) {
            int chunk = Math.min(CHUNK, end - start);
            normalDensity(x, at + start, density, chunk);
            normalCdf(x, at + start, density, cdf, chunk);
            for (int i = 0; i < chunk; i += LANES) {
                store(load(x, at + start + i).mul(load(cdf, i)), out, outAt + start + i);
            }
        }
        plain.gelu(x, at + end, out, outAt + end, count - end);
    }

    @Override
    public void geluBackward(MemorySegment x, MemorySegment dOut, MemorySegment dX, MemorySegment out, long at,
            int count) {
        MemorySegment density = scratch.get();
        MemorySegment cdf = density.asSlice(CHUNK * 4L);
        int end = whole(count);
        for (int start = 0; start < end; start += CHUNK) {
            int chunk = Math.min(CHUNK, end - start);
            long from = at + start;
            normalDensity(x, from, density, chunk);
            normalCdf(x, from, density, cdf, chunk);
            for (int i = 0; i < chunk; i += LANES) {
                FloatVector slope = load(x, from + i).fma(load(density, i), load(cdf, i));
                store(load(dOut, from + i).mul(slope), dX, from + i);
            }
            for (int i = 0; i < chunk; i += LANES) {
                store(load(x, from + i).mul(load(cdf, i)), out, from + i);
            }
        }
        plain.geluBackward(x, dOut, dX, out, at + end, count - end);
    }

    @Override
    public void exp(MemorySegment x, long at, float shift, float factor, MemorySegment out, long outAt, int count) {
        FloatVector log2e = FloatVector.broadcast(FLOATS, FloatMath.LOG2_E);
        FloatVector rounder = FloatVector.broadcast(FLOATS, FloatMath.ROUNDER);
        FloatVector high = FloatVector.broadcast(FLOATS, -FloatMath.LN2_HIGH);
        FloatVector low = FloatVector.broadcast(FLOATS, -FloatMath.LN2_LOW);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector value = load(x, at + i).sub(shift);
            VectorMask<Float> tiny = value.compare(VectorOperators.LT, FloatMath.EXP_LOW);
            FloatVector clamped = value.min(FloatMath.EXP_HIGH);
            FloatVector shifted = clamped.fma(log2e, rounder);
            FloatVector n = shifted.sub(rounder);
            FloatVector r = n.fma(low, n.fma(high, clamped));
            FloatVector p = E7.fma(r, E6).fma(r, E5).fma(r, E4).fma(r, E3).fma(r, HALF);
            p = p.mul(r).fma(r, r).add(1);
            IntVector exponent = shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
            FloatVector result = p.reinterpretAsInts().add(exponent).reinterpretAsFloats();
            store(result.blend(0, tiny).mul(factor), out, outAt + i);
        }
        plain.exp(x, at + end, shift, factor, out, outAt + end, count - end);
    }

    @Override
    public float sumExp(MemorySegment x, long at, float shift, int count) {
        MemorySegment results = scratch.get();
        float sum = 0;
        for (int start = 0; start < count; start += CHUNK) {
            int chunk = Math.min(CHUNK, count - start);
            exp(x, at + start, shift, 1, results, 0, chunk);
            sum += sum(results, 0, chunk);
        }
        return sum;
    }

    @Override
    public void addRamp(MemorySegment x, long at, int count, float start, float step) {
        FloatVector steps = FloatVector.broadcast(FLOATS, step);
        FloatVector indices = FloatVector.zero(FLOATS).addIndex(1);
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            FloatVector ramp = indices.add(i).fma(steps, FloatVector.broadcast(FLOATS, start));
            store(load(x, at + i).add(ramp), x, at + i);
        }
        plain.addRamp(x, at + end, count - end, Math.fma(end, step, start), step);
    }

    @Override
    public void softmaxBackward(MemorySegment p, long pAt, MemorySegment dP, long at, int count, float delta,
            float scale) {
        int end = whole(count);
        for (int i = 0; i < end; i += LANES) {
            store(load(p, pAt + i).mul(load(dP, at + i).sub(delta)).mul(scale), dP, at + i);
        }
        plain.softmaxBackward(p, pAt + end, dP, at + end, count - end, delta, scale);
    }

    @Override
    public void adamW(MemorySegment p, MemorySegment g, MemorySegment m, MemorySegment v, long at, int count,
            AdamWStep step) {
        FloatVector beta1 = FloatVector.broadcast(FLOATS, step.beta1());
        FloatVector beta2 = FloatVector.broadcast(FLOATS, step.beta2());
        FloatVector keep = FloatVector.broadcast(FLOATS, step.keep());
        float inverseCorrection = 1 / step.rootCorrection();
        int end = whole(count);
        for (int n = 0; n < end; n += LANES) {
            long i = at + n;
            FloatVector gradient = load(g, i).mul(step.clip());
            FloatVector first = load(m, i).fma(beta1, gradient.mul(step.firstShare()));
            FloatVector second = load(v, i).fma(beta2, gradient.mul(gradient).mul(step.secondShare()));
            store(first, m, i);
            store(second, v, i);
            FloatVector root = second.sqrt().mul(inverseCorrection).add(step.epsilon());
            store(load(p, i).fma(keep, first.mul(-step.rate()).div(root)), p, i);
        }
        plain.adamW(p, g, m, v, at + end, count - end, step);
    }
}
