// Tiles of bf16 rows in shared memory (common/swizzled_tile.cuh): how they get there and back.

#pragma once

#include "../common/async_copy.cuh"
#include "../common/swizzled_tile.cuh"
#include "geometry.cuh"

// 16 bytes of which `elements` exist, one by one; the rest becomes 0. For rows that are not aligned to 16 bytes.
__device__ __forceinline__ Pack<bf16, 8> gather_chunk(const bf16* from, int elements) {
    Pack<bf16, 8> chunk;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        chunk[i].bits = 0;
        if (i < elements) chunk[i] = from[i];
    }
    return chunk;
}

__device__ __forceinline__ void scatter_chunk(bf16* to, const bf16* from, int elements) {
#pragma unroll 1
    for (int i = 0; i < 8 && i < elements; i++) to[i] = from[i];
}

// The block's threads copy COUNT rows of one head from `first` on; rows beyond the sequence become 0.
template <int D, int COUNT, int THREADS>
__device__ __forceinline__ void load_rows(bf16* tile, Rows<const bf16> rows, int first, const Work& work,
                                          bool vectors) {
    constexpr int CHUNKS = D / 8;
    constexpr int AT_ONCE = THREADS / CHUNKS;
    static_assert(COUNT % AT_ONCE == 0 && AT_ONCE % 8 == 0, "a thread's chunks have the same place in their rows");
    int thread = thread_index_again();
    int row = thread / CHUNKS;
    int chunk = thread % CHUNKS;
    int elements = work.head_size - 8 * chunk;
    int left = work.length - first - row;
    const bf16* from = rows.at(first + row) + 8 * chunk;
    bf16* to = tile + chunk_offset<D>(row, chunk);
    if (vectors) {
#pragma unroll
        for (int i = 0; i < COUNT; i += AT_ONCE) {
            cp_async_16(to + i * D, from, i < left && elements > 0);
            from += AT_ONCE * rows.stride;
        }
    } else {
#pragma unroll 1
        for (int i = 0; i < COUNT; i += AT_ONCE) {
            store_pack<8>(to + i * D, gather_chunk(from, i < left ? elements : 0));
            from += AT_ONCE * rows.stride;
        }
    }
}

// One of a tile's chunks whose rows are heads side by side: where it lies in both memories.
template <int D>
struct PackedChunk {
    int offset;       // in the tile
    long long place;  // in the rows
    int elements;     // that exist

    __device__ __forceinline__ PackedChunk(int index, long long stride, const PackedRows& packed, const Work& work) {
        constexpr int CHUNKS = D / 8;
        int row = index / CHUNKS;
        int chunk = index % CHUNKS;
        int position = packed.position_of(row);
        offset = chunk_offset<D>(row, chunk);
        place = position * stride + packed.head_of(row) * work.head_size + 8 * chunk;
        elements = position < work.length ? work.head_size - 8 * chunk : 0;
    }
};

// The same for rows that are heads side by side.
template <int D, int COUNT, int THREADS>
__device__ __forceinline__ void load_packed_rows(bf16* tile, Rows<const bf16> rows, const PackedRows& packed,
                                                 const Work& work, bool vectors) {
    static_assert(COUNT * (D / 8) % THREADS == 0, "every thread copies as many chunks");
#pragma unroll 2
    for (int i = static_cast<int>(threadIdx.x); i < COUNT * (D / 8); i += THREADS) {
        PackedChunk<D> chunk(i, rows.stride, packed, work);
        if (vectors) {
            cp_async_16(tile + chunk.offset, rows.start + chunk.place, chunk.elements > 0);
        } else {
            store_pack<8>(tile + chunk.offset, gather_chunk(rows.start + chunk.place, chunk.elements));
        }
    }
}

// A warp writes COUNT rows of a tile, heads side by side, to global memory.
template <int D, int COUNT>
__device__ __forceinline__ void store_packed_rows(Rows<bf16> rows, const bf16* tile, int first_row,
                                                  const PackedRows& packed, const Work& work, bool vectors) {
    constexpr int CHUNKS = D / 8;
#pragma unroll 2
    for (int i = lane_index(); i < COUNT * CHUNKS; i += WARP) {
        PackedChunk<D> chunk(first_row * CHUNKS + i, rows.stride, packed, work);
        bf16* to = rows.start + chunk.place;
        if (!vectors) {
            scatter_chunk(to, tile + chunk.offset, chunk.elements);
        } else if (chunk.elements > 0) {
            store_pack<8>(to, load_pack<8>(tile + chunk.offset));
        }
    }
}

// A warp writes COUNT rows of one head, of which the tile's first is at `first`.
template <int D, int COUNT>
__device__ __forceinline__ void store_rows(Rows<bf16> rows, const bf16* tile, int first_row, int first,
                                           const Work& work, bool vectors) {
    constexpr int CHUNKS = D / 8;
#pragma unroll 2
    for (int i = lane_index(); i < COUNT * CHUNKS; i += WARP) {
        int row = first_row + i / CHUNKS;
        int chunk = i % CHUNKS;
        int elements = first + row < work.length ? work.head_size - 8 * chunk : 0;
        bf16* to = rows.at(first + row) + 8 * chunk;
        const bf16* from = tile + chunk_offset<D>(row, chunk);
        if (!vectors) {
            scatter_chunk(to, from, elements);
        } else if (elements > 0) {
            store_pack<8>(to, load_pack<8>(from));
        }
    }
}
