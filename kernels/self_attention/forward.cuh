// Forward: nothing passes between warps but the weights. Keys, values and each head's queries are products of the
// normalised rows, whose results are at once operands of the attention's products; a head's result is an operand of its
// share of the output projection, whose sums stay in registers through all heads. Weights pass by in pieces of 64
// columns of queries, keys, values or attention's results.

#pragma once

#include "head.cuh"

namespace self_attention {

template <int D>
struct Forward {
    static constexpr int STAGES = 3;
    static constexpr int STAGE = HEAD * D;
    static constexpr int SHARED_BYTES = 2 * (LAYER_ROWS * D + STAGES * STAGE);
    static_assert(SHARED_BYTES <= MOST_SHARED_BYTES, "a block has no more");

    const Weights weights;
    bf16* const normed;
    bf16* const stages;
    int use;
    Pairs keys;
    Pairs values;      // turned
    float head[N][4];  // of the warp's rows: keys, values, queries or results of a head
    float result[D / 8][4];

    __device__ __forceinline__ Forward(const Weights& weights, bf16* shared)
        : weights(weights), normed(shared), stages(shared + LAYER_ROWS * D), use(0) {}

    // In the order of use: keys, values, then each head's queries and its columns of the output projection.
    __device__ __forceinline__ void load(int next) {
        bf16* to = stages + next % STAGES * STAGE;
        int heads = weights.heads;
        if (next < 2 + 2 * heads) {
            int of_head = next / 2 - 1;
            if (next >= 2 && next % 2 == 1) {
                fetch_tile<HEAD, D>(to, weights.to_out + of_head * HEAD, heads * HEAD, D);
            } else {
                int part = next < 2 ? heads + next : of_head;
                fetch_tile<D, HEAD>(to, weights.to_qkv + static_cast<long long>(part) * HEAD * D, D, HEAD);
            }
        }
        cp_async_commit();
    }

    __device__ __forceinline__ const bf16* acquire() {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(use + STAGES - 1);
        return stages + use++ % STAGES * STAGE;
    }

    // head = the warp's normalised rows times the next weights; rounded, also to `qkv` unless that is null.
    __device__ __forceinline__ void project(Pairs& pairs, bf16* qkv, long long rows, int part) {
        const bf16* stage = acquire();
        int thread = thread_index_again();
        Operands<D> operands(thread % WARP);
        int first = thread / WARP * ROWS;
        clear_head(head);
#pragma unroll 4
        for (int k = 0; k < D / 16; k++) {
            unsigned left[4];
            operands.rows(left, normed, first, k);
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                unsigned right[2][2];
                operands.columns(right, stage, 16 * n, k);
                mma_m16n8k16(head[2 * n], left, right[0]);
                mma_m16n8k16(head[2 * n + 1], left, right[1]);
            }
        }
        pairs.round(head);
        if (qkv != nullptr) Place(rows, weights.packed_width(), part * HEAD).store(qkv, pairs);
    }

    // From a head's queries to what it attends to.
    __device__ __forceinline__ void attend(Pairs& pairs, const Problem& problem, int index) {
        float score[2][4];
        multiply_heads(score, pairs, keys);
        softmax(score, problem, index);
        unsigned probability[4];
        as_operand(probability, score[0], score[1]);
        clear_head(head);
#pragma unroll
        for (int n = 0; n < N; n++) mma_m16n8k16(head[n], probability, values.words[n]);
        pairs.round(head);
    }

    // A head's share of the output projection.
    __device__ __forceinline__ void project_out(const Pairs& attended) {
        const bf16* stage = acquire();
        Operands<HEAD> operands(thread_index_again() % WARP);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            unsigned left[4];
            attended.left(left, step);
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                unsigned right[2][2];
                operands.columns(right, stage, 16 * n, step);
                mma_m16n8k16(result[2 * n], left, right[0]);
                mma_m16n8k16(result[2 * n + 1], left, right[1]);
            }
        }
    }

    __device__ __forceinline__ void finish(const bf16* x, bf16* out, long long rows) const {
        Place place(rows, D, 0);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bool there = 8 * half < place.there;
#pragma unroll
            for (int n = 0; n < D / 8; n += 4) {
                long long at = place.at + 8 * half * D + 8 * n;
                unsigned words[4];
                load_quad(x + at, words, place.lane, there);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    words[j] = pack_bf16(result[n + j][2 * half] + low_bf16(words[j]),
                                         result[n + j][2 * half + 1] + high_bf16(words[j]));
                }
                store_quad(out + at, words, place.lane, there);
            }
        }
    }
};

// qkv and attended may be null.
template <int D>
__device__ __forceinline__ void forward(const Weights& weights, const Problem& problem, bf16* qkv, bf16* attended,
                                        const bf16* x, bf16* out, float* mean, float* rstd, float epsilon) {
    DYNAMIC_SHARED(bf16, shared);
    Forward<D> block(weights, shared);
    block.load(0);
    block.load(1);
    {
        BlockRows here(problem.rows);
        normalize<D>(block.normed, x + here.first * D, weights.norm, weights.norm_bias, mean + here.first,
                     rstd + here.first, epsilon, here.valid);
    }
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) block.result[n][i] = 0;
    }
    block.project(block.keys, qkv, problem.rows, weights.heads);
    block.project(block.values, qkv, problem.rows, weights.heads + 1);
    block.values.turn();
#pragma unroll 1
    for (int head = 0; head < weights.heads; head++) {
        Pairs pairs;
        block.project(pairs, qkv, problem.rows, head);
        block.attend(pairs, problem, head);
        if (attended != nullptr) Place(problem.rows, weights.heads * HEAD, head * HEAD).store(attended, pairs);
        block.project_out(pairs);
    }
    block.finish(x, out, problem.rows);
}

}  // namespace self_attention
