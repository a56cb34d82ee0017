package org.megabyte4j.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link FloatMath} with vectors. Kept to few vector operations: the compiler inlines every one of them, and what it
 * does not inline is allocated. That is also why exp is the platform's (at most one unit in the last place off).
 */
final class VectorMath {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;

    private static final FloatVector ONE = FloatVector.broadcast(FLOATS, 1);
    private static final FloatVector INVERSE_SQRT_TWO_PI = FloatVector.broadcast(FLOATS, FloatMath.INVERSE_SQRT_TWO_PI);
    private static final FloatVector MINUS_HALF = FloatVector.broadcast(FLOATS, -0.5f);
    private static final FloatVector SLOPE = FloatVector.broadcast(FLOATS, FloatMath.MILLS_SLOPE);
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

    private VectorMath() {
    }

    static FloatVector exp(FloatVector x) {
        return x.lanewise(VectorOperators.EXP);
    }

    static FloatVector normalDensity(FloatVector x) {
        return exp(x.mul(x).mul(MINUS_HALF)).mul(INVERSE_SQRT_TWO_PI);
    }

    /** @param density {@link #normalDensity} of x */
    static FloatVector normalCdf(FloatVector x, FloatVector density) {
        FloatVector t = ONE.div(x.abs().fma(SLOPE, ONE));
        FloatVector ratio = M10.fma(t, M9).fma(t, M8).fma(t, M7).fma(t, M6).fma(t, M5).fma(t, M4).fma(t, M3).fma(t, M2)
                .fma(t, M1);
        FloatVector tail = density.mul(ratio.mul(t));
        return tail.blend(ONE.sub(tail), x.compare(VectorOperators.GT, 0));
    }
}
