// A warp has 16 rows, whole patches, from LayerNorm to the residual connection: nothing passes between warps but the
// weights. Keys, values and each head's queries are products of the normalised rows, whose results are at once operands
// of the attention's products; a head's result is an operand of its share of the output projection, whose sums stay in
// registers through all heads. Weights pass by in pieces of 64 columns of queries, keys, values or attention's results.

#pragma once

#include "../common/fast_math.cuh"
#include "../common/layer_norm_tile.cuh"
#include "../common/transpose.cuh"

namespace self_attention {

constexpr int HEAD = 64;        // size of a head
constexpr int N = HEAD / 8;     // results [16, 8] of a head
constexpr int K = HEAD / 16;    // steps of a product over a head
constexpr int ROWS = 16;        // of a warp: patches whose length divides it
constexpr float LN_2 = 0.6931471805599453f;

struct Weights {
    const bf16* norm;       // [D]
    const bf16* norm_bias;  // [D]
    const bf16* to_qkv;     // [(heads + 2) * HEAD, D]: queries, keys, values
    const bf16* to_out;     // [D, heads * HEAD]
    int heads;
};

// What backward needs; null if there is none.
struct Kept {
    bf16* qkv;       // [rows, (heads + 2) * HEAD]
    bf16* attended;  // [rows, heads * HEAD]
    float* lse;      // [rows / length, heads, length]
};

template <int D>
struct Forward {
    static constexpr int STAGES = 3;
    static constexpr int STAGE = HEAD * D;
    static constexpr int SHARED_BYTES = 2 * (LAYER_ROWS * D + STAGES * STAGE);

    const Weights weights;
    const Kept kept;
    const long long rows;
    const int length;
    bf16* const normed;
    bf16* const stages;
    int use;
    unsigned key[K][2][2];  // operands B: [step][keys 0-7 or 8-15]
    unsigned value[N][2];   // and for the values, whose sum runs over keys
    float head[N][4];       // of the warp's rows: keys, values, queries or results of a head
    float result[D / 8][4];

    __device__ __forceinline__ Forward(const Weights& weights, const Kept& kept, long long rows, int length,
                                       bf16* shared)
        : weights(weights),
          kept(kept),
          rows(rows),
          length(length),
          normed(shared),
          stages(shared + LAYER_ROWS * D),
          use(0) {}

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

    // head = the warp's normalised rows times the next weights.
    __device__ __forceinline__ void project() {
        const bf16* stage = acquire();
        int thread = thread_index_again();
        Operands<D> operands(thread % WARP);
        int first = thread / WARP * ROWS;
        clear_head();
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
    }

    __device__ __forceinline__ void clear_head() {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) head[n][i] = 0;
        }
    }

    // The results of a head to columns `column` and following of rows of `width` elements.
    __device__ __forceinline__ void store(bf16* to, int width, int column) const {
        if (to == nullptr) return;
        BlockRows here(rows);
        int thread = thread_index_again();
        int lane = thread % WARP;
        int row = thread / WARP * ROWS + lane / 4;
        to += (here.first + row) * width + column;
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int n = 0; n < N; n += 4) {
                unsigned words[4];
#pragma unroll
                for (int j = 0; j < 4; j++) words[j] = pack_bf16(head[n + j][2 * half], head[n + j][2 * half + 1]);
                store_quad(to + 8LL * half * width + 8 * n, words, lane, row + 8 * half < here.valid);
            }
        }
    }

    __device__ __forceinline__ int packed_width() const { return (weights.heads + 2) * HEAD; }

    __device__ __forceinline__ void keys_and_values() {
        project();
        store(kept.qkv, packed_width(), weights.heads * HEAD);
#pragma unroll
        for (int k = 0; k < K; k++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    key[k][half][i] = pack_bf16(head[2 * k + i][2 * half], head[2 * k + i][2 * half + 1]);
                }
            }
        }
        project();
        store(kept.qkv, packed_width(), (weights.heads + 1) * HEAD);
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                value[n][half] = transpose_8x8(pack_bf16(head[n][2 * half], head[n][2 * half + 1]));
            }
        }
    }

    // From a head's queries to what it attends to.
    __device__ __forceinline__ void attend(int index, float scale, float slope_step) {
        float score[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
        for (int k = 0; k < K; k++) {
            unsigned query[4];
            as_operand(query, head[2 * k], head[2 * k + 1]);
            mma_m16n8k16(score[0], query, key[k][0]);
            mma_m16n8k16(score[1], query, key[k][1]);
        }
        int thread = thread_index_again();
        int group = thread % WARP / 4;
        int pair = 2 * (thread % 4);
        float slope = slope_step == 0 ? 0 : exp2f((index + 1) * slope_step) * LOG2_E;
        float inverse[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = group + 8 * half;
            int start = row / length * length;
            float largest = -INFINITY;
#pragma unroll
            for (int part = 0; part < 2; part++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& x = score[part][2 * half + e];
                    int at = 8 * part + pair + e;
                    bool seen = at >= start && at <= row;
                    x = seen ? x * (scale * LOG2_E) - slope * static_cast<float>(row - at) : -INFINITY;
                    largest = fmaxf(largest, x);
                }
            }
            largest = quad_max(largest);
            float sum = 0;
#pragma unroll
            for (int part = 0; part < 2; part++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& x = score[part][2 * half + e];
                    x = fast_exp2(x - largest);
                    sum += x;
                }
            }
            sum = quad_sum(sum);
            inverse[half] = fast_reciprocal(sum);
            BlockRows here(rows);
            int place = thread / WARP * ROWS + row;
            if (kept.lse != nullptr && pair == 0 && place < here.valid) {
                long long patch = here.first / length + place / length;
                kept.lse[(patch * weights.heads + index) * length + row - start] = (largest + log2f(sum)) * LN_2;
            }
        }
        unsigned probability[4];
        as_operand(probability, score[0], score[1]);
        clear_head();
#pragma unroll
        for (int n = 0; n < N; n++) {
            mma_m16n8k16(head[n], probability, value[n]);
#pragma unroll
            for (int i = 0; i < 4; i++) head[n][i] *= inverse[i / 2];
        }
    }

    // The head's share of the output projection.
    __device__ __forceinline__ void project_out() {
        const bf16* stage = acquire();
        Operands<HEAD> operands(thread_index_again() % WARP);
#pragma unroll
        for (int k = 0; k < K; k++) {
            unsigned left[4];
            as_operand(left, head[2 * k], head[2 * k + 1]);
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                unsigned right[2][2];
                operands.columns(right, stage, 16 * n, k);
                mma_m16n8k16(result[2 * n], left, right[0]);
                mma_m16n8k16(result[2 * n + 1], left, right[1]);
            }
        }
    }

    __device__ __forceinline__ void finish(const bf16* x, bf16* out) const {
        BlockRows here(rows);
        int thread = thread_index_again();
        int lane = thread % WARP;
        int row = thread / WARP * ROWS + lane / 4;
        long long at = (here.first + row) * D;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bool there = row + 8 * half < here.valid;
#pragma unroll
            for (int n = 0; n < D / 8; n += 4) {
                unsigned words[4];
                load_quad(x + at + 8 * half * D + 8 * n, words, lane, there);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    words[j] = pack_bf16(result[n + j][2 * half] + low_bf16(words[j]),
                                         result[n + j][2 * half + 1] + high_bf16(words[j]));
                }
                store_quad(out + at + 8 * half * D + 8 * n, words, lane, there);
            }
        }
    }
};

template <int D>
__device__ __forceinline__ void forward(const Weights& weights, const Kept& kept, const bf16* x, bf16* out, float* mean,
                                        float* rstd, long long rows, int length, float scale, float slope_step,
                                        float epsilon) {
    DYNAMIC_SHARED(bf16, shared);
    Forward<D> block(weights, kept, rows, length, shared);
    block.load(0);
    block.load(1);
    {
        BlockRows here(rows);
        normalize<D>(block.normed, x + here.first * D, weights.norm, weights.norm_bias, mean + here.first,
                     rstd + here.first, epsilon, here.valid);
    }
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) block.result[n][i] = 0;
    }
    block.keys_and_values();
#pragma unroll 1
    for (int head = 0; head < weights.heads; head++) {
        block.project();
        block.store(kept.qkv, block.packed_width(), head * HEAD);
        block.attend(head, scale, slope_step);
        block.store(kept.attended, weights.heads * HEAD, head * HEAD);
        block.project_out();
    }
    block.finish(x, out);
}

}  // namespace self_attention
