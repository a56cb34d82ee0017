// Every number of patch attention that only a measurement can judge, by padded head size D. The host launches by the
// same numbers (PatchAttentionTiles.java), and a test holds the two against each other.
//
// Limits. Registers of the warps of a multiprocessor: 65536, so 255 a thread for 8 warps. Shared memory of a block:
// 99 KB (compute capability 8.6, 8.9, 12.0); of two that share a multiprocessor, with 1 KB that the system takes of
// each: 164 KB (8.0), 228 KB (9.0). Rows and keys are multiples of 16. What fits by how much: `ptxas -v`, no spills.
//
// A warp reads its right operands from shared memory once for all of its rows of accumulators. At 128 bytes a clock,
// and the 1,280 multiply-adds a clock that mma.sync reaches on an H100 (62 % of 989 TFLOP/s), 16 rows ask for 160 bytes
// a clock and 32 rows for 80. So 32 it is wherever the accumulators leave the registers for it.
//
// Where only hardware can tell, there is a second tile of 8 warps (`wide`), and the host takes what is faster on its GPU.

#pragma once

#include "../common/platform.cuh"

// Query rows stay with a block, keys pass by.
struct RowTile {
    int warps;
    int blocks;         // per multiprocessor
    int rows_per_warp;  // 16 or 32
    int keys;           // of a stage
    int stages;
    int unrolled_steps;  // of 16 keys; forward unrolls all

    constexpr __host__ __device__ int threads() const { return 32 * warps; }
    constexpr __host__ __device__ int rows() const { return warps * rows_per_warp; }
};

// Keys stay with a block, query rows pass by.
struct KeyTile {
    int warps;
    int blocks;
    int keys_per_warp;
    int rows;  // of a stage
    int stages;
    bool keys_in_registers;  // as operands for the whole run, or read again for each step
    bool values_in_registers;
    int unrolled_steps;  // of 16 rows

    constexpr __host__ __device__ int threads() const { return 32 * warps; }
    constexpr __host__ __device__ int keys() const { return warps * keys_per_warp; }
};

// Shared memory: queries, then stages of keys and values.
constexpr __host__ __device__ RowTile forward_tile(int d) {
    return d <= 64 ? RowTile{4, 2, 32, 64, 3, 0} : RowTile{4, 2, 32, 32, 3, 0};
}

// For 64 and 128.
constexpr __host__ __device__ RowTile wide_forward_tile(int d) {
    return d <= 64 ? RowTile{8, 1, 16, 64, 3, 0} : RowTile{8, 1, 16, 64, 2, 0};
}

// Shared memory: queries, gradients of the output, then stages of keys and values.
constexpr __host__ __device__ RowTile backward_query_tile(int d) {
    return d <= 64 ? RowTile{4, 2, 32, 64, 2, 1} : RowTile{8, 1, 16, 32, 2, 1};
}

// Shared memory: keys, values, then stages of queries and gradients of the output, then two numbers a row.
constexpr __host__ __device__ KeyTile backward_key_tile(int d) {
    return d <= 32   ? KeyTile{4, 2, 32, 64, 2, true, true, 1}
           : d <= 64 ? KeyTile{4, 2, 32, 64, 2, true, false, 1}
                     : KeyTile{8, 1, 16, 32, 2, true, true, 1};
}

// For 64.
constexpr __host__ __device__ KeyTile wide_backward_key_tile(int) { return KeyTile{8, 1, 16, 64, 2, true, true, 2}; }

// Float32, without tensor cores: 16 x 8 threads, each with `rows_per_thread` rows of the block's and an eighth of the
// `passing` ones.
struct Float32Tile {
    int rows_per_thread;
    int passing;

    static constexpr int THREADS = 128;
    static constexpr int BLOCKS = 2;
    constexpr __host__ __device__ int rows() const { return 16 * rows_per_thread; }
};

constexpr __host__ __device__ Float32Tile float32_tile(int d) {
    return d <= 64 ? Float32Tile{4, 32} : Float32Tile{2, 32};
}
