// What forward and backward of the attention layer share: a warp has 16 rows, whole patches, and of a head of theirs a
// product's result. In such a result, rounded to bf16, a register holds a pair of neighbours: lane (g, t) has columns
// 8n + 2t and the next of rows g and g + 8. These are operands as they are: A, and B where the sum runs over the head;
// turned (transpose.cuh), they are B where the sum runs over rows.

#pragma once

#include "../common/fast_math.cuh"
#include "../common/layer_norm_tile.cuh"
#include "../common/transpose.cuh"

namespace self_attention {

constexpr int HEAD = 64;      // size of a head
constexpr int N = HEAD / 8;   // results [16, 8] of a head
constexpr int STEPS = HEAD / 16;
constexpr int ROWS = 16;      // of a warp: patches whose length divides it

struct Weights {
    const bf16* norm;       // [D]
    const bf16* norm_bias;  // [D]
    const bf16* to_qkv;     // [(heads + 2) * HEAD, D]: queries, keys, values
    const bf16* to_out;     // [D, heads * HEAD]
    int heads;

    __device__ __forceinline__ int packed_width() const { return (heads + 2) * HEAD; }
};

// What is asked of a problem's attention.
struct Problem {
    long long rows;
    int length;        // of a patch
    float scale;
    float slope_step;  // ALiBi: head h's slope is 2^((h + 1) slope_step); 0 for none
};

__device__ __forceinline__ void clear_head(float (&head)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) head[n][i] = 0;
    }
}

// The warp's rows of a head as pairs.
struct Pairs {
    unsigned words[N][2];  // [result][rows g or g + 8]

    __device__ __forceinline__ void round(const float (&head)[N][4]) {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int half = 0; half < 2; half++) words[n][half] = pack_bf16(head[n][2 * half], head[n][2 * half + 1]);
        }
    }

    // What Place::begin_load has loaded becomes pairs.
    __device__ __forceinline__ void arrange() {
        int lane = thread_index_again() % WARP;
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int n = 0; n < N; n += 4) {
                unsigned four[4] = {words[n][half], words[n + 1][half], words[n + 2][half], words[n + 3][half]};
                quad_transpose(four, lane);
#pragma unroll
                for (int j = 0; j < 4; j++) words[n + j][half] = four[j];
            }
        }
    }

    // Operand A of a step over the head.
    __device__ __forceinline__ void left(unsigned (&a)[4], int step) const {
        a[0] = words[2 * step][0];
        a[1] = words[2 * step][1];
        a[2] = words[2 * step + 1][0];
        a[3] = words[2 * step + 1][1];
    }

    // Operand B of a step over the head, for rows 0-7 or 8-15 as columns.
    __device__ __forceinline__ void right(unsigned (&b)[2], int step, int half) const {
        b[0] = words[2 * step][half];
        b[1] = words[2 * step + 1][half];
    }

    // Turned, words[n] is operand B of the sum over rows, for columns 8n to 8n + 7.
    __device__ __forceinline__ void turn() {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int half = 0; half < 2; half++) words[n][half] = transpose_8x8(words[n][half]);
        }
    }
};

// Where the warp's rows of a head lie in rows of `width` elements: columns `column` and following.
struct Place {
    long long at;
    int lane;
    int width;
    int there;  // rows from the lane's first on

    __device__ __forceinline__ Place(long long rows, int width, int column) : width(width) {
        BlockRows here(rows);
        int thread = thread_index_again();
        lane = thread % WARP;
        int row = thread / WARP * ROWS + lane / 4;
        at = (here.first + row) * width + column;
        there = here.valid - row;
    }

    __device__ __forceinline__ void store(bf16* to, const Pairs& pairs) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int n = 0; n < N; n += 4) {
                unsigned words[4] = {pairs.words[n][half], pairs.words[n + 1][half], pairs.words[n + 2][half],
                                     pairs.words[n + 3][half]};
                store_quad(to + at + 8LL * half * width + 8 * n, words, lane, 8 * half < there);
            }
        }
    }

    // They are pairs once they are arranged, which waits for them.
    __device__ __forceinline__ void begin_load(const bf16* from, Pairs& pairs) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int n = 0; n < N; n += 4) {
                unsigned words[4];
                begin_load_quad(from + at + 8LL * half * width + 8 * n, words, lane, 8 * half < there);
#pragma unroll
                for (int j = 0; j < 4; j++) pairs.words[n + j][half] = words[j];
            }
        }
    }
};

// out[m][n] = left[m][...] right[n][...]: 16 rows by 16 rows.
__device__ __forceinline__ void multiply_heads(float (&out)[2][4], const Pairs& left, const Pairs& right) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 4; i++) out[half][i] = 0;
    }
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        unsigned a[4];
        left.left(a, step);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            unsigned b[2];
            right.right(b, step, half);
            mma_m16n8k16(out[half], a, b);
        }
    }
}

// From scores [16, 16] to probabilities: what a row does not see becomes 0.
__device__ __forceinline__ void softmax(float (&score)[2][4], const Problem& problem, int head) {
    int lane = thread_index_again() % WARP;
    float slope = problem.slope_step == 0 ? 0 : exp2f((head + 1) * problem.slope_step) * LOG2_E;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = lane / 4 + 8 * half;
        int start = row / problem.length * problem.length;
        float largest = -INFINITY;
#pragma unroll
        for (int part = 0; part < 2; part++) {
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float& x = score[part][2 * half + e];
                int key = 8 * part + 2 * (lane % 4) + e;
                float biased = x * (problem.scale * LOG2_E) - slope * static_cast<float>(row - key);
                x = key >= start && key <= row ? biased : -INFINITY;
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
        float inverse = fast_reciprocal(quad_sum(sum));
#pragma unroll
        for (int part = 0; part < 2; part++) {
#pragma unroll
            for (int e = 0; e < 2; e++) score[part][2 * half + e] *= inverse;
        }
    }
}

}  // namespace self_attention
