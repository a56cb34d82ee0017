// Single instructions for functions that the compiler would otherwise surround with rare cases.

#pragma once

#include "platform.cuh"

// 2^x within 2^-22 of it; results below 2^-126 are 0, -infinity gives 0.
__device__ __forceinline__ float exp2_approximate(float x) {
#ifdef __CUDACC__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    float result = exp2f(x);
    return result < 1.17549435e-38f ? 0.0f : result;
#endif
}
