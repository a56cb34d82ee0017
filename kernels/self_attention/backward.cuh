// Backward. First each head by itself: the gradient of what it attended to is a product of the result's gradient,
// attention is computed again from the kept queries, keys and values, and the gradients of these go to tiles in shared
// memory. Then those tiles, one after the other, are multiplied by their weights into the gradient of LayerNorm's
// output, whose sums stay in registers. Every warp has 16 rows of the first part and 32 rows of half the columns of the second.

#pragma once

#include "head.cuh"

namespace self_attention {

// What is written for the gradients of the matrices, and this block's sums for those of the vectors.
struct Written {
    bf16* d_qkv;   // [rows, packed_width]
    bf16* normed;  // [rows, D]
    bf16* d_out;   // [rows, D], the gradient of the result once more
    float* sums;   // [blocks][norm D, norm's bias D]
};

template <int D>
struct Backward {
    static constexpr int STAGES = 2;
    static constexpr int STAGE = HEAD * D;
    static constexpr int TILE = LAYER_ROWS * HEAD;
    static constexpr int SHARED_BYTES = 2 * (LAYER_ROWS * D + STAGES * STAGE + (D / HEAD + 2) * TILE);
    static_assert(SHARED_BYTES <= MOST_SHARED_BYTES, "a block has no more, with as many heads as fit the width");

    const Weights weights;
    bf16* const d_out;   // [LAYER_ROWS][D]; at the end the gradient of x
    bf16* const stages;  // at the end x
    bf16* const tiles;   // [heads + 2][LAYER_ROWS][HEAD]: gradients of queries, keys, values
    int use;
    Pairs keys;
    Pairs values;
    float d_keys[N][4];
    float d_values[N][4];
    float d_normed[2][D / 16][4];

    __device__ __forceinline__ Backward(const Weights& weights, bf16* shared)
        : weights(weights),
          d_out(shared),
          stages(shared + LAYER_ROWS * D),
          tiles(shared + LAYER_ROWS * D + STAGES * STAGE),
          use(0) {
        static_assert(STAGES * STAGE == LAYER_ROWS * D, "x finds room where the weights were");
        static_assert(3 * TILE * 2 >= NORM_BACKWARD_FLOATS<D> * 4, "and LayerNorm's sums where the tiles were");
    }

    // In the order of use: each head's columns of the output projection, then the rows of the other.
    __device__ __forceinline__ void load(int next) {
        bf16* to = stages + next % STAGES * STAGE;
        int heads = weights.heads;
        if (next < heads) {
            fetch_tile<HEAD, D>(to, weights.to_out + next * HEAD, heads * HEAD, D);
        } else if (next < 2 * heads + 2) {
            fetch_tile<D, HEAD>(to, weights.to_qkv + static_cast<long long>(next - heads) * HEAD * D, D, HEAD);
        }
        cp_async_commit();
    }

    __device__ __forceinline__ const bf16* acquire() {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(use + STAGES - 1);
        return stages + use++ % STAGES * STAGE;
    }

    // The gradient of what a head attended to.
    __device__ __forceinline__ void through_out(Pairs& d_attended) {
        const bf16* stage = acquire();
        int thread = thread_index_again();
        Operands<D> wide(thread % WARP);
        Operands<HEAD> narrow(thread % WARP);
        int first = thread / WARP * ROWS;
        float head[N][4];
        clear_head(head);
#pragma unroll 4
        for (int k = 0; k < D / 16; k++) {
            unsigned left[4];
            wide.rows(left, d_out, first, k);
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                unsigned right[2][2];
                narrow.transposed(right, stage, 16 * k, n);
                mma_m16n8k16(head[2 * n], left, right[0]);
                mma_m16n8k16(head[2 * n + 1], left, right[1]);
            }
        }
        d_attended.round(head);
    }

    // The gradients of a head's queries, and its shares of those of keys and values.
    __device__ __forceinline__ void through_attention(const bf16* qkv, bf16* d_qkv, const Problem& problem, int index) {
        Pairs queries;  // come while the product is computed
        Place(problem.rows, weights.packed_width(), index * HEAD).begin_load(qkv, queries);
        Pairs d_attended;
        through_out(d_attended);
        queries.arrange();
        float p[2][4];
        multiply_heads(p, queries, keys);
        softmax(p, problem, index);
        float d_score[2][4];
        multiply_heads(d_score, d_attended, values);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float mean = 0;
#pragma unroll
            for (int part = 0; part < 2; part++) {
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) mean += p[part][e] * d_score[part][e];
            }
            mean = quad_sum(mean);
#pragma unroll
            for (int part = 0; part < 2; part++) {
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    d_score[part][e] = p[part][e] * (d_score[part][e] - mean) * problem.scale;
                }
            }
        }
        unsigned left[4];
        d_attended.turn();
        turned(left, p);
#pragma unroll
        for (int n = 0; n < N; n++) mma_m16n8k16(d_values[n], left, d_attended.words[n]);
        queries.turn();
        turned(left, d_score);
#pragma unroll
        for (int n = 0; n < N; n++) mma_m16n8k16(d_keys[n], left, queries.words[n]);

        Pairs turned_keys = keys;
        turned_keys.turn();
        as_operand(left, d_score[0], d_score[1]);
        float d_query[N][4];
        clear_head(d_query);
#pragma unroll
        for (int n = 0; n < N; n++) mma_m16n8k16(d_query[n], left, turned_keys.words[n]);
        put(d_query, d_qkv, problem.rows, index);
    }

    // Of [16, 16] values as mma leaves them, the operand A of the other way round.
    static __device__ __forceinline__ void turned(unsigned (&left)[4], const float (&p)[2][4]) {
        unsigned words[4];
        as_operand(words, p[0], p[1]);
        left[0] = transpose_8x8(words[0]);
        left[1] = transpose_8x8(words[2]);
        left[2] = transpose_8x8(words[1]);
        left[3] = transpose_8x8(words[3]);
    }

    // A gradient of queries, keys or values to its tile and to global memory.
    __device__ __forceinline__ void put(const float (&head)[N][4], bf16* d_qkv, long long rows, int part) {
        Pairs pairs;
        pairs.round(head);
        int thread = thread_index_again();
        int row = thread / WARP * ROWS + thread % WARP / 4;
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int n = 0; n < N; n++) {
                bf16* to = tiles + part * TILE + chunk_offset<HEAD>(row + 8 * half, n) + 2 * (thread % 4);
                *reinterpret_cast<unsigned*>(to) = pairs.words[n][half];
            }
        }
        Place(rows, weights.packed_width(), part * HEAD).store(d_qkv, pairs);
    }

    // A tile's share of the gradient of LayerNorm's output.
    __device__ __forceinline__ void through_projection(int index) {
        const bf16* stage = acquire();
        Part part;
        Operands<HEAD> narrow(part.lane);
        Operands<D> wide(part.lane);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            unsigned left[2][4];
            part.left(narrow, left, tiles + index * TILE, step);
#pragma unroll
            for (int n = 0; n < D / 32; n++) {
                unsigned right[2][2];
                wide.transposed(right, stage, 16 * step, part.side * (D / 32) + n);
                multiply(d_normed, n, left, right);
            }
        }
    }
};

template <int D>
__device__ __forceinline__ void backward(const Weights& weights, const Problem& problem, const bf16* qkv, const bf16* x,
                                         const float* mean, const float* rstd, bf16* d, const Written& written) {
    DYNAMIC_SHARED(bf16, shared);
    Backward<D> block(weights, shared);
    {
        BlockRows here(problem.rows);
        long long at = here.first * D;
        fetch_tile<D, LAYER_ROWS>(block.d_out, d + at, D, here.valid);
        block.load(0);
        normalize_again<D>(nullptr, written.normed + at, x + at, weights.norm, weights.norm_bias, mean + here.first,
                           rstd + here.first, here.valid);
        Place(problem.rows, weights.packed_width(), weights.heads * HEAD).begin_load(qkv, block.keys);
        Place(problem.rows, weights.packed_width(), (weights.heads + 1) * HEAD).begin_load(qkv, block.values);
        clear_head(block.d_keys);
        clear_head(block.d_values);
        cp_async_wait<0>();
        __syncthreads();
        write_tile<D>(written.d_out + at, block.d_out, here.valid);
        block.keys.arrange();
        block.values.arrange();
    }
#pragma unroll 1
    for (int head = 0; head < weights.heads; head++) block.through_attention(qkv, written.d_qkv, problem, head);
    block.put(block.d_keys, written.d_qkv, problem.rows, weights.heads);
    block.put(block.d_values, written.d_qkv, problem.rows, weights.heads + 1);
    clear(block.d_normed);
#pragma unroll 1
    for (int part = 0; part < weights.heads + 2; part++) block.through_projection(part);
    __syncthreads();  // the weights and the tiles are done with
    BlockRows here(problem.rows);
    fetch_tile<D, LAYER_ROWS>(block.stages, x + here.first * D, D, here.valid);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    float* sums = written.sums + block_index_again() * 2LL * D;
    norm_backward<D>(block.d_normed, block.stages, block.d_out, weights.norm, mean + here.first, rstd + here.first,
                     here.valid, sums, sums + D, reinterpret_cast<float*>(block.tiles));
    __syncthreads();
    write_tile<D>(d + here.first * D, block.d_out, here.valid);
}

}  // namespace self_attention
