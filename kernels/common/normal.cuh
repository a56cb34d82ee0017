// The normal distribution, which GELU is made of; gelu.cu says how exact it is.

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
