// Tiles of bf16 rows in shared memory: where their elements lie, and how mma's operands come out of them.
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

#include "mma.cuh"

template <int D>
__device__ __forceinline__ constexpr int swizzle(int row) {
    return D >= 64 ? row & 7 : D == 32 ? row >> 1 & 3 : row >> 2 & 1;
}

template <int D>
__device__ __forceinline__ int chunk_offset(int row, int chunk) {
    return row * D + (chunk ^ swizzle<D>(row)) * 8;
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

    __device__ __forceinline__ Operands() : Operands(lane_index()) {}

    __device__ __forceinline__ explicit Operands(int lane) {
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
