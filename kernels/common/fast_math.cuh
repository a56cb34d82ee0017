// One-instruction approximations, within 2^-22 of the true value. Subnormal arguments and results become 0.

#pragma once

#include "platform.cuh"

// 2^x
__device__ __forceinline__ float fast_exp2(float x) {
#ifdef __CUDACC__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    float result = exp2f(x);
    return result < 1.17549435e-38f ? 0 : result;
#endif
}

// 1 / x
__device__ __forceinline__ float fast_reciprocal(float x) {
#ifdef __CUDACC__
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    return 1 / x;
#endif
}

constexpr float LOG2_E = 1.44269504089f;
