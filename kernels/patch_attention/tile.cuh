// Tiles of bf16 rows in shared memory: how they get there, and how mma's operands come out of them.
//
// A row of D elements is D/8 chunks of 16 bytes; eight chunks are the 128 bytes that the 32 banks serve at once.
// Chunk c of row r lies at place c ^ s(r), with s(r) = r % 8 for D >= 64, (r / 2) % 4 for D = 32, (r / 4) % 2 for
// D = 16. ldmatrix reads one chunk c of eight consecutive rows at once. Where a row fills the banks (D >= 64) the eight
// places c ^ r differ in their low three bits. For D = 32 two rows share the banks, the odd one in the upper half, and
// the four rows of a half have different (r / 2) % 4; for D = 16 four rows do, and the two rows of a quarter have
// different (r / 4) % 2. So the eight chunks always lie in eight different groups of four banks. A copy writes
// consecutive chunks of a row, which the XOR only permutes. A warp stages four neighbours of eight rows of a result at
// a time, which lie apart as ldmatrix's rows do.

#pragma once

#include "../common/async_copy.cuh"
#include "../common/mma.cuh"
#include "geometry.cuh"

template <int D>
__device__ __forceinline__ constexpr int swizzle(int row) {
    return D >= 64 ? row & 7 : D == 32 ? row >> 1 & 3 : row >> 2 & 1;
}

template <int D>
__device__ __forceinline__ int chunk_offset(int row, int chunk) {
    return row * D + (chunk ^ swizzle<D>(row)) * 8;
}

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

// Blocks of 16 x 16 of a tile as operands, by their rows and columns in the tile:
//   rows        A[row][column]                                                   (m = row, k = column)
//   columns     B[column][row] of two mma, for rows 0-7 and 8-15                 (n = row, k = column)
//   transposed  B[row][column] of two mma, for columns 0-7 and 8-15              (n = column, k = row)
// All three name the same four 8x8 matrices in the same order (rows 0-7 of both chunks, then rows 8-15), so that a
// lane has one set of addresses; they differ in which register is which.
template <int D>
struct Operands {
    int row_offset;
    int place;

    __device__ __forceinline__ Operands() {
        int lane = lane_index();
        int row = (lane & 7) | (lane >> 4 << 3);
        row_offset = row * D;
        place = (lane >> 3 & 1) ^ swizzle<D>(row);
    }

    // Block of rows first_row (a multiple of 16), columns 16 * block.
    __device__ __forceinline__ void rows(unsigned (&a)[4], const bf16* tile, int first_row, int block) const {
        unsigned r[4];
        ldmatrix_x4(r, at(tile, first_row, block));
        a[0] = r[0];
        a[1] = r[2];
        a[2] = r[1];
        a[3] = r[3];
    }

    __device__ __forceinline__ void columns(unsigned (&b)[2][2], const bf16* tile, int first_row, int block) const {
        unsigned r[4];
        ldmatrix_x4(r, at(tile, first_row, block));
        b[0][0] = r[0];
        b[0][1] = r[1];
        b[1][0] = r[2];
        b[1][1] = r[3];
    }

    __device__ __forceinline__ void transposed(unsigned (&b)[2][2], const bf16* tile, int first_row, int block) const {
        unsigned r[4];
        ldmatrix_x4_trans(r, at(tile, first_row, block));
        b[0][0] = r[0];
        b[0][1] = r[2];
        b[1][0] = r[1];
        b[1][1] = r[3];
    }

private:
    __device__ __forceinline__ const bf16* at(const bf16* tile, int first_row, int block) const {
        int chunk = 2 * block;  // place < 8: what the XOR does not reach is a constant offset
        return tile + first_row * D + (chunk & ~7) * 8 + row_offset + ((chunk & 7) ^ place) * 8;
    }
};

// Two neighbouring mma results [16, 8] as the left operand [16, 16] of the next product.
__device__ __forceinline__ void as_operand(unsigned (&a)[4], const float (&left)[4], const float (&right)[4]) {
    a[0] = pack_bf16(left[0], left[1]);
    a[1] = pack_bf16(left[2], left[3]);
    a[2] = pack_bf16(right[0], right[1]);
    a[3] = pack_bf16(right[2], right[3]);
}

// Puts two neighbours of a result into a tile.
template <int D>
__device__ __forceinline__ void stage_result(bf16* tile, int row, int column, float left, float right) {
    unsigned pair = pack_bf16(left, right);
    *reinterpret_cast<unsigned*>(tile + chunk_offset<D>(row, column / 8) + column % 8) = pair;
}
