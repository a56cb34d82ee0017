// How far back a head with ALiBi looks. A key at distance n has a score of at most |q| |k| / sqrt(h) - m n, and the
// maximum of the softmax is at least the score of a position with itself, -|q| |k| / sqrt(h), which has no bias. Where
// the difference is below log(2^-150), the probability is 0 in float32, and leaving such keys out changes no bit. Over
// a million positions the steepest of 16 heads sees some two hundred of them, the flattest 27,000.
//
// Norms: a block per 256 rows, [batch, blocks, heads + key/value heads] float32, the largest squares. Then reach, int
// [batch, heads]: positions, `length` where nothing can be left out. AttentionBias.reach is the same in Java.

#pragma once

#include "../common/elements.cuh"
#include "../common/reduce.cuh"
#include "geometry.cuh"

constexpr int REACH_THREADS = 256;
constexpr int REACH_ROWS = 256;

// Not fmaxf, which forgets a NaN: nothing is left out where one is.
__device__ __forceinline__ float larger_or_nan(float a, float b) { return b > a || b != b ? b : a; }

// heads: query heads and key heads, side by side at the start of a row.
template <class T>
__device__ __forceinline__ void largest_norms(const T* qkv, float* norms, int length, int heads, int head_size,
                                              int packed_width) {
    int blocks = (length + REACH_ROWS - 1) / REACH_ROWS;
    long long sequence = blockIdx.x / static_cast<unsigned>(blocks);
    int first = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocks)) * REACH_ROWS;
    int rows = min(REACH_ROWS, length - first);
    const T* packed = qkv + (sequence * length + first) * packed_width;
    for (int head = warp_index(); head < heads; head += REACH_THREADS / WARP) {
        float largest = 0;
#pragma unroll 4
        for (int row = 0; row < rows; row++) {
            const T* x = packed + static_cast<long long>(row) * packed_width + head * head_size;
            float square = 0;
            for (int i = lane_index(); i < head_size; i += WARP) {
                float value = load_float(x, i);
                square = fmaf(value, value, square);
            }
            largest = larger_or_nan(largest, warp_sum(square));
        }
        if (lane_index() == 0) norms[static_cast<long long>(blockIdx.x) * heads + head] = largest;
    }
}

__device__ __forceinline__ float largest_of_sequence(const float* norms, long long sequence, int blocks, int heads,
                                                     int head) {
    SHARED float of_warp[REACH_THREADS / WARP];
    float largest = 0;
    for (int i = static_cast<int>(threadIdx.x); i < blocks; i += REACH_THREADS) {
        largest = larger_or_nan(largest, norms[(sequence * blocks + i) * heads + head]);
    }
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        largest = larger_or_nan(largest, __shfl_xor_sync(ALL_LANES, largest, distance));
    }
    __syncthreads();
    if (lane_index() == 0) of_warp[warp_index()] = largest;
    __syncthreads();
    for (int warp = 0; warp < REACH_THREADS / WARP; warp++) largest = larger_or_nan(largest, of_warp[warp]);
    return largest;
}

// A block per sequence and query head.
__device__ __forceinline__ void find_reach(const float* norms, int* reach, int length, int heads, int key_value_heads,
                                           float scale) {
    int blocks = (length + REACH_ROWS - 1) / REACH_ROWS;
    long long sequence = blockIdx.x / static_cast<unsigned>(heads);
    int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads));
    int key_head = heads + head / (heads / key_value_heads);
    float query = largest_of_sequence(norms, sequence, blocks, heads + key_value_heads, head);
    float key = largest_of_sequence(norms, sequence, blocks, heads + key_value_heads, key_head);
    // 2.002 instead of 2: norms and products are rounded.
    float range = 150 + 2.002f * LOG2_E * scale * sqrtf(query) * sqrtf(key);
    float positions = range / alibi_slope(head, heads);
    if (threadIdx.x == 0) reach[blockIdx.x] = positions < length - 2 ? static_cast<int>(positions) + 2 : length;
}

// The first position that a row at `position`, or after it, of one of the block's heads has to look at.
__device__ __forceinline__ int first_seen(const int* reach, const Work& work, int position) {
    if (reach == nullptr) return 0;
    int furthest = 0;
    for (int head = 0; head < work.group; head++) {
        furthest = max(furthest, reach[work.sequence * work.heads + work.first_head() + head]);
    }
    return max(0, position - furthest);
}
