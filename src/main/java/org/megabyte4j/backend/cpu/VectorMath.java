package org.megabyte4j.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** {@link FloatMath} with vectors: the same formulas, lane by lane. */
final class VectorMath {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    static final VectorSpecies<Integer> INTS = FLOATS.withLanes(int.class);

    /** 1.5 * 2^23: adding and subtracting it rounds to the nearest whole number. */
    private static final float ROUNDER = 12582912f;

    private VectorMath() {
    }

    static FloatVector exp(FloatVector x) {
        FloatVector clamped = x.max(FloatMath.EXP_LOW).min(FloatMath.EXP_HIGH);
        FloatVector n = clamped.mul(FloatMath.LOG2_E).add(ROUNDER).sub(ROUNDER);
        FloatVector r = n.fma(broadcast(-FloatMath.LN2_HIGH), clamped);
        r = n.fma(broadcast(-FloatMath.LN2_LOW), r);
        FloatVector p = broadcast(FloatMath.E7).fma(r, broadcast(FloatMath.E6));
        p = p.fma(r, broadcast(FloatMath.E5));
        p = p.fma(r, broadcast(FloatMath.E4));
        p = p.fma(r, broadcast(FloatMath.E3));
        p = p.fma(r, broadcast(0.5f));
        p = p.mul(r).fma(r, r).add(1);
        IntVector exponent = (IntVector) n.convert(VectorOperators.F2I, 0);
        IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
        FloatVector result = p.mul(powerOfTwo(half)).mul(powerOfTwo(exponent.sub(half)));
        VectorMask<Float> low = x.compare(VectorOperators.LT, FloatMath.EXP_LOW);
        VectorMask<Float> high = x.compare(VectorOperators.GT, FloatMath.EXP_HIGH);
        VectorMask<Float> nan = x.test(VectorOperators.IS_NAN);
        result = result.blend(0, low);
        return high.or(nan).anyTrue() ? result.blend(Float.POSITIVE_INFINITY, high).blend(x, nan) : result;
    }

    private static FloatVector powerOfTwo(IntVector exponent) {
        return exponent.add(127).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats();
    }

    static FloatVector normalDensity(FloatVector x) {
        FloatVector square = x.mul(x);
        FloatVector rest = x.fma(x, square.neg());
        FloatVector value = exp(square.mul(-0.5f)).mul(FloatMath.INVERSE_SQRT_TWO_PI);
        FloatVector corrected = value.fma(rest.mul(-0.5f), value);
        return corrected.blend(0, square.compare(VectorOperators.EQ, Float.POSITIVE_INFINITY));
    }

    /** @param density {@link #normalDensity} of x */
    static FloatVector normalCdf(FloatVector x, FloatVector density) {
        FloatVector t = broadcast(1).div(x.abs().fma(broadcast(FloatMath.MILLS_SLOPE), broadcast(1)));
        FloatVector ratio = broadcast(FloatMath.MILLS[9]);
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[8]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[7]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[6]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[5]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[4]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[3]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[2]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[1]));
        ratio = ratio.fma(t, broadcast(FloatMath.MILLS[0]));
        FloatVector tail = density.mul(ratio).mul(t);
        return tail.blend(broadcast(1).sub(tail), x.compare(VectorOperators.GT, 0));
    }

    private static FloatVector broadcast(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }
}
