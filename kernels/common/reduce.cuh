// Sums and maxima over a warp or a block in an order that never depends on scheduling, so that a result has the same
// bits every time, and in every thread that gets it.

#pragma once

#include "platform.cuh"

// Over all 32 lanes; every lane gets the result. Neighbours at distance 16, then 8, 4, 2, 1.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, distance);
    }
    return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        value = max(value, __shfl_xor_sync(ALL_LANES, value, distance));
    }
    return value;
}

// Over the four lanes that share a row of an mma accumulator; each gets the result.
__device__ __forceinline__ float quad_sum(float value) {
    value += __shfl_xor_sync(ALL_LANES, value, 1);
    return value + __shfl_xor_sync(ALL_LANES, value, 2);
}

__device__ __forceinline__ float quad_max(float value) {
    value = max(value, __shfl_xor_sync(ALL_LANES, value, 1));
    return max(value, __shfl_xor_sync(ALL_LANES, value, 2));
}

// Over a one-dimensional block of THREADS threads, all of which call it; every thread gets the result. Warps are added
// in the order of their index. May be called again at once: the first barrier waits for readers of the last result.
template <int THREADS, class T>
__device__ __forceinline__ T block_sum(T value) {
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps");
    SHARED T of_warp[THREADS / WARP];
    value = warp_sum(value);
    if (THREADS == WARP) return value;
    __syncthreads();
    if (lane_index() == 0) of_warp[warp_index()] = value;
    __syncthreads();
    T sum = of_warp[0];
#pragma unroll
    for (int warp = 1; warp < THREADS / WARP; warp++) sum += of_warp[warp];
    return sum;
}

template <int THREADS, class T>
__device__ __forceinline__ T block_max(T value) {
    static_assert(THREADS % WARP == 0 && THREADS <= 1024, "whole warps");
    SHARED T of_warp[THREADS / WARP];
    value = warp_max(value);
    if (THREADS == WARP) return value;
    __syncthreads();
    if (lane_index() == 0) of_warp[warp_index()] = value;
    __syncthreads();
    T result = of_warp[0];
#pragma unroll
    for (int warp = 1; warp < THREADS / WARP; warp++) result = max(result, of_warp[warp]);
    return result;
}
