// What forward and backward of the feed-forward layer share: its weights, and how they are cut.

#pragma once

#include "../common/layer_norm_tile.cuh"
#include "../common/normal.cuh"

namespace feed_forward {

constexpr int SLICE = 64;                          // hidden columns that are computed together
constexpr int HIDDEN_COLUMNS = SLICE / 2;          // of a warp's part
constexpr int HIDDEN_N = HIDDEN_COLUMNS / 8;       // results [16, 8] beside each other in it
constexpr int PAIRS = 4 * HIDDEN_N;                // pairs of neighbours that a lane has of them

// Pairs whose GELU comes before group `group` of `groups` groups of products, so that they are spread evenly.
__device__ __forceinline__ constexpr int pairs_before(int group, int groups) {
    return (group * PAIRS + groups - 1) / groups;
}

struct Weights {
    const bf16* norm;           // [D]
    const bf16* norm_bias;      // [D]
    const bf16* expand;         // W1 [hidden, D]
    const bf16* expand_bias;    // b1 [hidden]
    const bf16* contract;       // W2 [D, hidden]
    const bf16* contract_bias;  // b2 [D]
    int hidden;                 // a multiple of SLICE
};

}  // namespace feed_forward
