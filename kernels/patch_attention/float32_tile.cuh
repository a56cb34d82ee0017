// Tiles of float32 rows, and products of them in float32 multiply-adds.
//
// 128 threads as 16 x 8: thread (y, x) has rows y + 16 i of the block's own tile and rows x + 8 j of the tile that
// passes by, or columns 4 x + 32 c of a result. A row takes D + 4 floats, so that rows of neighbouring threads lie four
// banks apart and 16-byte loads meet no conflict. The eight threads of a row are neighbours in a warp.

#pragma once

#include "../common/async_copy.cuh"
#include "geometry.cuh"
#include "tuning.cuh"

__device__ __forceinline__ int thread_x() { return static_cast<int>(threadIdx.x) & 7; }
__device__ __forceinline__ int thread_y() { return static_cast<int>(threadIdx.x) >> 3; }

__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
    for (int distance = 1; distance < 8; distance *= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

__device__ __forceinline__ float row_max(float x) {
#pragma unroll
    for (int distance = 1; distance < 8; distance *= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
    return x;
}

// Four floats of which `elements` exist; the rest becomes 0.
__device__ __forceinline__ void copy_four(float* to, const float* from, int elements, bool vectors) {
    if (vectors) {
        cp_async_16(to, from, elements > 0);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) cp_async_4(to + i, from + i, i < elements);
}

// COUNT rows of one head from `first` on; rows beyond the sequence become 0.
template <int D, int COUNT>
__device__ __forceinline__ void load_float_rows(float* tile, Rows<const float> rows, int first, const Work& work,
                                                bool vectors) {
    constexpr int CHUNKS = D / 4;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < COUNT * CHUNKS; i += Float32Tile::THREADS) {
        int row = i / CHUNKS;
        int column = i % CHUNKS * 4;
        int elements = first + row < work.length ? work.head_size - column : 0;
        copy_four(tile + row * (D + 4) + column, rows.at(first + row) + column, elements, vectors);
    }
}

// The same for rows that are heads side by side.
template <int D, int COUNT>
__device__ __forceinline__ void load_packed_float_rows(float* tile, Rows<const float> rows, const PackedRows& packed,
                                                       const Work& work, bool vectors) {
    constexpr int CHUNKS = D / 4;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < COUNT * CHUNKS; i += Float32Tile::THREADS) {
        int row = i / CHUNKS;
        int column = i % CHUNKS * 4;
        int position = packed.position_of(row);
        int elements = position < work.length ? work.head_size - column : 0;
        const float* from = rows.at(position) + packed.head_of(row) * work.head_size + column;
        copy_four(tile + row * (D + 4) + column, from, elements, vectors);
    }
}

__device__ __forceinline__ float4 four_at(const float* from) { return *reinterpret_cast<const float4*>(from); }

// product[i][j] = own row y + 16 i times passing row x + 8 j.
template <int D, int R, int J>
__device__ __forceinline__ void multiply_rows(float (&product)[R][J], const float* own, const float* passing) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
        for (int j = 0; j < J; j++) product[i][j] = 0;
    }
#pragma unroll 4
    for (int d = 0; d < D; d += 4) {
        float4 a[R];
        float4 b[J];
#pragma unroll
        for (int i = 0; i < R; i++) a[i] = four_at(own + (thread_y() + 16 * i) * (D + 4) + d);
#pragma unroll
        for (int j = 0; j < J; j++) b[j] = four_at(passing + (thread_x() + 8 * j) * (D + 4) + d);
#pragma unroll
        for (int i = 0; i < R; i++) {
#pragma unroll
            for (int j = 0; j < J; j++) {
                float sum = fmaf(a[i].x, b[j].x, product[i][j]);
                sum = fmaf(a[i].y, b[j].y, sum);
                sum = fmaf(a[i].z, b[j].z, sum);
                product[i][j] = fmaf(a[i].w, b[j].w, sum);
            }
        }
    }
}

// sum[i][c] += factors of own row y + 16 i, [rows][N + 4], times columns 4 x + 32 c of the N passing rows.
template <int D, int N, int R>
__device__ __forceinline__ void add_products(float (&sum)[R][D / 32][4], const float* factors, const float* passing) {
#pragma unroll 2
    for (int n = 0; n < N; n += 4) {
        float a[R][4];
#pragma unroll
        for (int i = 0; i < R; i++) {
            float4 four = four_at(factors + (thread_y() + 16 * i) * (N + 4) + n);
            a[i][0] = four.x;
            a[i][1] = four.y;
            a[i][2] = four.z;
            a[i][3] = four.w;
        }
#pragma unroll
        for (int k = 0; k < 4; k++) {
#pragma unroll
            for (int c = 0; c < D / 32; c++) {
                float4 b = four_at(passing + (n + k) * (D + 4) + 4 * thread_x() + 32 * c);
#pragma unroll
                for (int i = 0; i < R; i++) {
                    sum[i][c][0] = fmaf(a[i][k], b.x, sum[i][c][0]);
                    sum[i][c][1] = fmaf(a[i][k], b.y, sum[i][c][1]);
                    sum[i][c][2] = fmaf(a[i][k], b.z, sum[i][c][2]);
                    sum[i][c][3] = fmaf(a[i][k], b.w, sum[i][c][3]);
                }
            }
        }
    }
}

// A thread's columns of one row of a result, times a factor.
template <int D>
__device__ __forceinline__ void store_columns(float* row, const float (&columns)[D / 32][4], float factor,
                                              int head_size) {
#pragma unroll
    for (int c = 0; c < D / 32; c++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int column = 4 * thread_x() + 32 * c + e;
            if (column < head_size) row[column] = columns[c][e] * factor;
        }
    }
}
