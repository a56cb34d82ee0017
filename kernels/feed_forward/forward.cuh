// Forward: the tile's normalised rows stay in shared memory, the result's sums in registers, weights pass by in slices
// of SLICE hidden columns. Two products alternate,
//
//   hidden(i) = normed W1(i)^T + b1
//   result += activated(i-1) W2(i-1)^T   and meanwhile   activated(i) = gelu(hidden(i))
//
// so that tensor cores and float32 cores both have work: each few products are followed by the GELU of two elements.

#pragma once

#include "slices.cuh"

namespace feed_forward {

template <int D>
struct Forward {
    static constexpr int STAGES = 3;
    static constexpr int STAGE = SLICE * D;
    static constexpr int SHARED_BYTES = 2 * (LAYER_ROWS * D + 2 * LAYER_ROWS * SLICE + STAGES * STAGE);
    static_assert(SHARED_BYTES <= MOST_SHARED_BYTES, "a block has no more");
    static constexpr int N = D / 16;                  // results [16, 8] of the part's columns
    static constexpr int GROUPS = SLICE / 16 * (N / 2);

    const Weights weights;
    bf16* const normed;     // [LAYER_ROWS][D]
    bf16* const activated;  // twice [LAYER_ROWS][SLICE]
    bf16* const stages;
    int use;                // of stages so far
    float result[2][N][4];
    float hidden[2][HIDDEN_N][4];

    __device__ __forceinline__ Forward(const Weights& weights, bf16* shared)
        : weights(weights),
          normed(shared),
          activated(shared + LAYER_ROWS * D),
          stages(shared + LAYER_ROWS * (D + 2 * SLICE)),
          use(0) {}

    __device__ __forceinline__ void normalize_rows(const bf16* x, float* mean, float* rstd, long long rows,
                                                   float epsilon) {
        BlockRows here(rows);
        normalize<D>(normed, x + here.first * D, weights.norm, weights.norm_bias, mean + here.first,
                     rstd + here.first, epsilon, here.valid);
    }

    // Slices come in the order in which they are used: W1(0), then W1(i) and W2(i-1), at last W2(slices-1).
    __device__ __forceinline__ void load(int next) {
        bf16* to = stages + next % STAGES * STAGE;
        int slices = weights.hidden / SLICE;
        if (next < 2 * slices) {
            bool expand = next == 0 || (next % 2 != 0 && next != 2 * slices - 1);
            int slice = expand ? (next + 1) / 2 : next == 2 * slices - 1 ? slices - 1 : next / 2 - 1;
            if (expand) {
                fetch_tile<D, SLICE>(to, weights.expand + static_cast<long long>(slice) * SLICE * D, D, SLICE);
            } else {
                fetch_tile<SLICE, D>(to, weights.contract + slice * SLICE, weights.hidden, D);
            }
        }
        cp_async_commit();
    }

    // The stage to be used now, when it has arrived and the one before it is done with.
    __device__ __forceinline__ const bf16* acquire() {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(use + STAGES - 1);
        return stages + use++ % STAGES * STAGE;
    }

    __device__ __forceinline__ void expand(int slice) {
        const bf16* stage = acquire();
        Part part;
        Operands<D> wide(part.lane);
        begin_with_bias(hidden, weights.expand_bias + slice * SLICE + part.side * HIDDEN_COLUMNS, part);
#pragma unroll 4
        for (int k = 0; k < D / 16; k++) {
            unsigned left[2][4];
            part.left(wide, left, normed, k);
#pragma unroll
            for (int n = 0; n < HIDDEN_N / 2; n++) {
                unsigned right[2][2];
                wide.columns(right, stage, part.side * HIDDEN_COLUMNS + 16 * n, k);
                multiply(hidden, n, left, right);
            }
        }
    }

    // GELU of a pair of neighbours, into the tile of activations of this slice.
    __device__ __forceinline__ void activate(const Part& part, int slice, int index) {
        int n = index % HIDDEN_N;
        int r = index / HIDDEN_N;
        const float* x = &hidden[r / 2][n][2 * (r % 2)];
        bf16* tile = activated + slice % 2 * LAYER_ROWS * SLICE;
        part.in_tile<SLICE>(tile, r, part.side * HIDDEN_N + n) =
            pack_bf16(x[0] * normal(x[0]).distribution, x[1] * normal(x[1]).distribution);
    }

    // The product of a slice's activations, and meanwhile those of the next slice if there is one.
    template <bool NEXT>
    __device__ __forceinline__ void contract(int slice) {
        const bf16* stage = acquire();
        Part part;
        Operands<SLICE> narrow(part.lane);
        const bf16* tile = activated + slice % 2 * LAYER_ROWS * SLICE;
#pragma unroll
        for (int k = 0; k < SLICE / 16; k++) {
            unsigned left[2][4];
            part.left(narrow, left, tile, k);
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                unsigned right[2][2];
                narrow.columns(right, stage, part.side * (D / 2) + 16 * n, k);
                multiply(result, n, left, right);
                if (NEXT) {
                    int group = k * (N / 2) + n;
#pragma unroll
                    for (int i = pairs_before(group, GROUPS); i < pairs_before(group + 1, GROUPS); i++) {
                        activate(part, slice + 1, i);
                    }
                }
            }
        }
    }

    __device__ __forceinline__ void activate_first() {
        Part part;
#pragma unroll
        for (int i = 0; i < PAIRS; i++) activate(part, 0, i);
    }

    // result + b2 + x, 64 bytes of a row at a time.
    __device__ __forceinline__ void finish(const bf16* x, bf16* out, long long rows) {
        Part part;
        BlockRows here(rows);
#pragma unroll
        for (int n = 0; n < N; n += 4) {
            int column = part.side * (D / 2) + 8 * n;
            unsigned bias[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                bias[j] = *reinterpret_cast<const unsigned*>(weights.contract_bias + column + 8 * j +
                                                             part.pair());
            }
#pragma unroll
            for (int r = 0; r < 4; r++) {
                bool there = part.lane_row(r) < here.valid;
                long long at = (here.first + part.lane_row(r)) * D + column;
                unsigned words[4];
                load_quad(x + at, words, part.lane, there);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const float(&sum)[4] = result[r / 2][n + j];
                    words[j] = pack_bf16(sum[2 * (r % 2)] + low_bf16(bias[j]) + low_bf16(words[j]),
                                         sum[2 * (r % 2) + 1] + high_bf16(bias[j]) + high_bf16(words[j]));
                }
                store_quad(out + at, words, part.lane, there);
            }
        }
    }
};

template <int D>
__device__ __forceinline__ void forward(const Weights& weights, const bf16* x, bf16* out, float* mean, float* rstd,
                                        long long rows, float epsilon) {
    DYNAMIC_SHARED(bf16, shared);
    Forward<D> block(weights, shared);
    block.load(0);
    block.load(1);
    block.normalize_rows(x, mean, rstd, rows, epsilon);
    clear(block.result);

    block.expand(0);
    block.activate_first();
#pragma unroll 1
    for (int slice = 1; slice * SLICE < weights.hidden; slice++) {
        block.expand(slice);
        block.template contract<true>(slice - 1);
    }
    block.template contract<false>(weights.hidden / SLICE - 1);
    block.finish(x, out, rows);
}

}  // namespace feed_forward
