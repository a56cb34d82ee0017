// How blocks share the query rows of a tile of keys.
//
// The rows after a tile of keys come in stages of `rows` positions of one head: all stages of the first head, of the
// next, ... A block takes `chunk` of them, blockIdx.y says which. With gridDim.y = 1 that is all of them, and the block
// writes the gradients. Otherwise each block writes float32 sums of its own, and sum_partial_gradients adds them in the
// order of the blocks.

#pragma once

#include "geometry.cuh"

__device__ __forceinline__ long long stages_after(int first_key, int rows, int length, int group) {
    return static_cast<long long>((length - first_key + rows - 1) / rows) * group;
}

// Where a block is in its part of the stages.
struct RowCursor {
    int head;
    int tile;
    int tiles;  // of a head
    int count;  // of the block; 0 or less if it has none

    __device__ __forceinline__ RowCursor(int first_key, int rows, long long chunk, const Work& work) {
        tiles = (work.length - first_key + rows - 1) / rows;
        long long begin = blockIdx.y * chunk;
        long long left = stages_after(first_key, rows, work.length, work.group) - begin;
        count = static_cast<int>(min(left, chunk));
        head = static_cast<int>(begin / tiles);
        tile = static_cast<int>(begin % tiles);
    }

    __device__ __forceinline__ void advance() {
        if (++tile == tiles) {
            tile = 0;
            head++;
        }
    }
};

// Sums of one block, float32 [gridDim.y, batch * length, 2 * key_value_heads * head_size].
struct PartialGradients {
    float* start;
    int width;

    __device__ __forceinline__ PartialGradients(float* partials, int pairs, const Work& work) {
        width = 2 * work.key_value_heads * work.head_size;
        long long rows = static_cast<long long>(pairs / work.key_value_heads) * work.length;
        start = partials + blockIdx.y * rows * width;
    }

    __device__ __forceinline__ float* keys(const Work& work, int position) const {
        return start + (work.sequence * work.length + position) * width + work.key_value_head * work.head_size;
    }
};

// A block per row: sums into the last `width` columns of d_qkv [rows, packed_width]. `keys` of a tile.
template <class T>
__device__ __forceinline__ void sum_partial_gradients(const float* partials, T* d_qkv, long long chunk, int length,
                                                      int group, int width, int packed_width, int keys, int rows) {
    long long row = blockIdx.x;
    int first_key = static_cast<int>(row % length) / keys * keys;
    long long blocks = (stages_after(first_key, rows, length, group) + chunk - 1) / chunk;
    long long stride = static_cast<long long>(gridDim.x) * width;
    for (int column = static_cast<int>(threadIdx.x); column < width; column += static_cast<int>(blockDim.x)) {
        const float* from = partials + row * width + column;
        float sum = 0;
        for (long long block = 0; block < blocks; block++) sum += from[block * stride];
        store_float(d_qkv, row * packed_width + packed_width - width + column, sum);
    }
}
