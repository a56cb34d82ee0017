// The standard normal distribution, of which GELU and its derivative are made.
//
//   gelu(x) = x Phi(x),  gelu'(x) = Phi(x) + x phi(x),  Phi and phi of the standard normal distribution
//
// Phi(-a) = phi(a) R(a) for a >= 0, where R is Mills' ratio as a polynomial of degree 8 in t = 1 / (1 + 0.3 a) without
// constant term, its relative error below 2e-7: so nothing cancels in the lower tail, where GELU itself is -a Phi(-a).
// The relative error of the result is below 1e-6 + x^2 2^-23, the second term from rounding x^2 / 2; where phi is
// subnormal (|x| > 13), Phi is 0 or 1.
// Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415); Mills' ratio, Abramowitz and Stegun 26.2.

#pragma once

#include "fast_math.cuh"

struct Normal {
    float distribution;  // Phi(x)
    float bell;          // sqrt(2 pi) phi(x) = exp(-x^2 / 2)
};

// Minimax coefficients of t, ..., t^8 for exp(a^2 / 2) Phi(-a) on 0 <= a <= 14.2.
__device__ __forceinline__ Normal normal(float x) {
    float t = fast_reciprocal(__fmaf_rn(0.3003003f, fabsf(x), 1.0f));
    float ratio = 0.0355374542f;
    ratio = __fmaf_rn(ratio, t, -0.156147005f);
    ratio = __fmaf_rn(ratio, t, 0.203744663f);
    ratio = __fmaf_rn(ratio, t, -0.0515035842f);
    ratio = __fmaf_rn(ratio, t, 0.127480089f);
    ratio = __fmaf_rn(ratio, t, 0.100307729f);
    ratio = __fmaf_rn(ratio, t, 0.120828791f);
    ratio = __fmaf_rn(ratio, t, 0.119751793f);
    Normal result;
    result.bell = fast_exp2(x * x * (-0.5f * LOG2_E));
    float tail = ratio * t * result.bell;
    result.distribution = x > 0 ? 1 - tail : tail;
    return result;
}

// gelu'(x)
__device__ __forceinline__ float gelu_derivative(float x, const Normal& value) {
    constexpr float INVERSE_SQRT_TWO_PI = 0.3989422804f;
    return __fmaf_rn(x * INVERSE_SQRT_TWO_PI, value.bell, value.distribution);
}
