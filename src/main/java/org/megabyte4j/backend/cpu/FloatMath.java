package org.megabyte4j.backend.cpu;

/**
 * Functions in float32 arithmetic, written so that {@link VectorMath} can do the same with vectors.
 *
 * <p>The normal distribution function comes from Mills' ratio, {@code Phi(-x) = phi(x) R(x)} for x >= 0, with R a
 * polynomial in {@code t = 1 / (1 + 0.3 x)} without a constant term. The coefficients are a fit by iteratively
 * reweighted least squares over x in [0, 14] against R at forty digits: relative error 3.5e-9, and 1.7e-7 when
 * evaluated in float32. The relative error stays small for large negative x, where a difference from 1 would lose it.
 */
final class FloatMath {
    static final float INVERSE_SQRT_TWO_PI = 0.3989422804f;
    static final float MILLS_SLOPE = 0.3f;
    /** Coefficients of t, t^2, ..., t^10. */
    static final float[] MILLS = {0.30000990629196167f, 0.29972466826438904f, 0.2762989401817322f, 0.19658365845680237f,
        0.24078162014484406f, -0.19864429533481598f, 0.48022493720054626f, -0.5716811418533325f, 0.2816845774650574f,
        -0.05166875571012497f};

    private FloatMath() {
    }

    static float exp(float x) {
        return (float) Math.exp(x);
    }

    /** The standard normal density. */
    static float normalDensity(float x) {
        return exp(-0.5f * (x * x)) * INVERSE_SQRT_TWO_PI;
    }

    /** The standard normal distribution function. */
    static float normalCdf(float x) {
        float t = 1 / Math.fma(MILLS_SLOPE, Math.abs(x), 1);
        float ratio = MILLS[9];
        for (int i = 8; i >= 0; i--) {
            ratio = Math.fma(ratio, t, MILLS[i]);
        }
        float tail = normalDensity(x) * ratio * t;
        return x > 0 ? 1 - tail : tail;
    }
}
