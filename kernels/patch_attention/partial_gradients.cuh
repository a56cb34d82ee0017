// How blocks share the query rows of a tile of keys.
//
// The rows after a tile of keys come in stages of `rows` positions of one head: all stages of the first head, of the
// next, ... A block takes `chunk` of them, blockIdx.y says which, and skips those whose head does not look back so far
// (reach.cuh). With gridDim.y = 1 that is all of them, and the block writes the gradients. Otherwise each block writes
// float32 sums of its own, and sum_partial_gradients adds them in the order of the blocks.

#pragma once

#include "reach.cuh"

__device__ __forceinline__ long long stages_after(int first_key, int rows, int length, int group) {
    return static_cast<long long>((length - first_key + rows - 1) / rows) * group;
}

// Whether there are stages for the block, be they skipped or not.
__device__ __forceinline__ bool has_part(int first_key, int rows, long long chunk, const Work& work) {
    return blockIdx.y * chunk < stages_after(first_key, rows, work.length, work.group);
}

// Where a block is in its part of the stages.
template <int KEYS, int ROWS>
struct RowCursor {
    const int* reach;  // of the block's heads, or null
    int head;
    int tile;
    int tiles;  // of a head

    __device__ __forceinline__ RowCursor(long long chunk, const int* of_all, const Work& work) {
        reach = of_all == nullptr ? nullptr : of_all + work.sequence * work.heads + work.first_head();
        tiles = (work.length - work.tile * KEYS + ROWS - 1) / ROWS;
        long long begin = blockIdx.y * chunk;
        head = static_cast<int>(begin / tiles);
        tile = static_cast<int>(begin % tiles);
    }

    // Stages of the part that are not skipped. The cursor goes on to the first of them.
    __device__ __forceinline__ int count(long long chunk, const Work& work) {
        long long end = min(blockIdx.y * chunk + chunk, static_cast<long long>(tiles) * work.group);
        int last_head = static_cast<int>((end - 1) / tiles);
        int last_tile = static_cast<int>((end - 1) % tiles);
        int sum = 0;
        for (int h = head; h <= last_head; h++) {
            int from = h == head ? tile : 0;
            sum += max(0, min(seen(h), h == last_head ? last_tile + 1 : tiles) - from);
        }
        if (sum > 0) skip();
        return sum;
    }

    // To the next stage. There must be one.
    __device__ __forceinline__ void advance() {
        tile++;
        skip();
    }

private:
    // Tiles of a head whose rows look back to the block's keys; the others follow them.
    __device__ __forceinline__ int seen(int of) const {
        if (reach == nullptr) return tiles;
        long long last = static_cast<long long>(reach[of]) + KEYS - 1;
        return static_cast<int>(min(static_cast<long long>(tiles), last / ROWS + 1));
    }

    __device__ __forceinline__ void skip() {
        while (tile >= seen(head)) {
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
        return start + (work.sequence * work.length + position) * width + work.key_value_head() * work.head_size;
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
