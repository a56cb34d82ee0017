// Online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867) over the accumulators of mma.
//
// Scores are kept in units of log2, x = scale * log2(e) * q.k + bias, so that an exponential is one instruction. A row
// is spread over the four lanes of a quad; `top` is the same in all four, `sum` each lane's own part until finish().

#pragma once

#include "../common/reduce.cuh"
#include "geometry.cuh"

// Below any score; finite, so that no difference of two of them is NaN.
constexpr float NO_SCORE = -1e30f;

// What a lane needs of its row of scores.
struct Row {
    int position;
    float slope;  // times log2(e)

    // Bias of the first key of a run, and what each key after it adds is `slope`. Exact but for one rounding: distances
    // within a run are small, so nothing is lost at position one million.
    __device__ __forceinline__ float bias(int first_key) const {
        return slope * static_cast<float>(first_key - position);
    }
};

template <int ROWS>
struct OnlineSoftmax {
    float top[ROWS];
    float sum[ROWS];

    __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            top[i] = NO_SCORE;
            sum[i] = 0;
        }
    }
};
