// What every block of a cluster computes for itself, because that is quicker than to wait for another one: embeddings,
// LayerNorm, and attention over the bytes of the patch so far. All of it from shared memory into shared memory.

#pragma once

#include "../common/elements.cuh"
#include "../common/fast_math.cuh"
#include "../common/row_fragments.cuh"
#include "memory.cuh"

namespace local_decode {

// x = table[id] + slice
__device__ __forceinline__ void embed(const Memory& memory, const Sizes& sizes, const bf16* table, const bf16* slices,
                                      int first_row, int rows, int step) {
    int packs = sizes.dim / 8;
    for (int i = static_cast<int>(threadIdx.x); i < rows * packs; i += THREADS) {
        int row = i / packs;
        int column = i % packs * 8;
        float embedding[8];
        float slice[8];
        long long position = static_cast<long long>(first_row + row) * sizes.patch + step;
        load_floats(table + static_cast<long long>(memory.ids[row]) * sizes.dim + column, embedding);
        load_floats(slices + position * sizes.dim + column, slice);
#pragma unroll
        for (int k = 0; k < 8; k++) embedding[k] += slice[k];
        store_floats(memory.x + row * Sizes::stride(sizes.dim) + column, embedding);
    }
}

// normed = LayerNorm(x), a warp for each row; sums in the order of layer_norm.cu.
__device__ __forceinline__ void normalize(const Memory& memory, const Sizes& sizes, const bf16* weight, int rows,
                                          float epsilon) {
    int row = warp_index();
    if (row >= rows) return;
    const bf16* from = memory.x + row * Sizes::stride(sizes.dim);
    bf16* to = memory.normed + row * Sizes::stride(sizes.dim);
    float sum = 0;
    for (int column = lane_index() * 8; column < sizes.dim; column += WARP * 8) {
        float values[8];
        load_floats(from + column, values);
#pragma unroll
        for (int k = 0; k < 8; k++) sum += values[k];
    }
    float mean = warp_sum(sum) / sizes.dim;
    float squares = 0;
    for (int column = lane_index() * 8; column < sizes.dim; column += WARP * 8) {
        float values[8];
        load_floats(from + column, values);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float difference = values[k] - mean;
            squares += difference * difference;
        }
    }
    float rstd = 1 / sqrtf(warp_sum(squares) / sizes.dim + epsilon);
    for (int column = lane_index() * 8; column < sizes.dim; column += WARP * 8) {
        float values[8];
        float w[8];
        float b[8];
        load_floats(from + column, values);
        load_floats(weight + column, w);
        load_floats(weight + sizes.dim + column, b);
#pragma unroll
        for (int k = 0; k < 8; k++) values[k] = __fmaf_rn((values[k] - mean) * rstd, w[k], b[k]);
        store_floats(to + column, values);
    }
}

// normed = attention of the step's queries to the keys up to itself, a warp for each row and head. For the scores four
// lanes share a position, for the sum of values each lane has two elements.
__device__ __forceinline__ void attend(const Memory& memory, const Sizes& sizes, int layer, int rows, int step) {
    int lane = lane_index();
    int stride = Sizes::stride(sizes.dim);
    int h = sizes.head_size;
    int position_stride = sizes.rows * 2 * h;
    float scale = LOG2_E / sqrtf(static_cast<float>(h));
    float* probabilities = memory.probabilities + warp_index() * MOST_POSITIONS;
    for (int unit = warp_index(); unit < rows * sizes.heads; unit += WARPS_OF_BLOCK) {
        int row = unit / sizes.heads;
        int head = unit % sizes.heads;
        const bf16* query = memory.queries + row * stride + head * h;
        const bf16* keys = memory.cache + (layer * sizes.patch * sizes.rows + row) * 2 * h;
        float slope = sizes.alibi ? exp2f(-8.0f * (head + 1) / sizes.heads) * LOG2_E : 0;
        for (int first = 0; first <= step; first += 8) {
            int position = first + lane / 4;
            float score = 0;
            if (position <= step) {
                const bf16* key = keys + position * position_stride;
                for (int element = lane % 4 * 8; element < h; element += CHUNKED) {
                    score += dot_chunk(load_chunk(query + element, true), load_chunk(key + element, true));
                }
            }
            score = quad_sum(score) * scale - slope * (step - position);
            if (position <= step && lane % 4 == 0) probabilities[position] = score;
        }
        __syncwarp();
        float score = lane <= step ? probabilities[lane] : -INFINITY;
        float largest = warp_max(score);
        float weight = lane <= step ? fast_exp2(score - largest) : 0;
        float total = warp_sum(weight);
        probabilities[lane] = weight / total;
        __syncwarp();
        for (int element = 2 * lane; element < h; element += 2 * WARP) {
            const bf16* value = keys + h + element;
            float low = 0;
            float high = 0;
            for (int position = 0; position <= step; position++) {
                unsigned pair = *reinterpret_cast<const unsigned*>(value + position * position_stride);
                low = __fmaf_rn(probabilities[position], low_bf16(pair), low);
                high = __fmaf_rn(probabilities[position], high_bf16(pair), high);
            }
            *reinterpret_cast<unsigned*>(memory.normed + row * stride + head * h + element) = pack_bf16(low, high);
        }
        __syncwarp();
    }
}

}  // namespace local_decode
