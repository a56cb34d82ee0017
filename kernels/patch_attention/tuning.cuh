// Every number of patch attention that only a measurement can judge, by padded head size D. The host launches by the
// same table (PatchAttentionTiles.java); a test holds the two against each other.
//
// Limits: 32 * warps * registers * blocks <= 65536 per SM (255 registers at 256 threads per SM, 128 at 512); shared
// memory of a block <= 99 KB (compute capability 8.6, 8.9, 12.0), and 2 blocks <= 163 KB (8.0) or 227 KB (9.0) where
// two are asked for; rows and keys are multiples of 16.
//
// A warp reads its operands of a product from shared memory once for 16 * mma rows of accumulators. At 128 bytes per
// clock, and the 1,280 multiply-adds per clock that mma.sync reaches on an H100, 16 rows would make shared memory the
// limit (160 bytes per clock) and 32 do not (80), so 32 it is wherever the accumulators leave the registers for it.

#pragma once

#include "../common/platform.cuh"

// Query rows stay with a block, keys pass by.
struct RowTile {
    int warps;
    int blocks;         // per SM
    int rows_per_warp;  // 16 or 32
    int keys;           // per stage
    int stages;

    constexpr __host__ __device__ int threads() const { return 32 * warps; }
    constexpr __host__ __device__ int rows() const { return warps * rows_per_warp; }
};

// Keys stay with a block, query rows pass by.
struct KeyTile {
    int warps;
    int blocks;
    int keys_per_warp;
    int rows;
    int stages;
    bool keys_in_registers;  // as fragments for the whole run, or read again for each step
    bool values_in_registers;

    constexpr __host__ __device__ int threads() const { return 32 * warps; }
    constexpr __host__ __device__ int keys() const { return warps * keys_per_warp; }
};

// Queries stay in registers up to D = 64. Shared: queries, then stages of keys and values.
constexpr __host__ __device__ RowTile forward_tile(int d) {
    return d <= 64 ? RowTile{4, 2, 32, 64, 3} : RowTile{8, 1, 16, 64, 2};
}

// Shared: queries, gradients of the output, then stages of keys and values.
constexpr __host__ __device__ RowTile backward_query_tile(int d) {
    return d <= 64 ? RowTile{4, 2, 32, 64, 2} : RowTile{8, 1, 16, 32, 2};
}

// Shared: keys, values, then stages of queries, gradients of the output, and two numbers a row.
constexpr __host__ __device__ KeyTile backward_key_tile(int d) {
    return d <= 64 ? KeyTile{4, 2, 32, 64, 2, true, d < 64} : KeyTile{8, 1, 16, 32, 2, true, true};
}

// Float32, without tensor cores: 16 x 8 threads, each with `rows_per_thread` rows and keys/8 keys.
struct Float32Tile {
    int rows_per_thread;
    int keys;

    static constexpr int THREADS = 128;
    constexpr __host__ __device__ int rows() const { return 16 * rows_per_thread; }
    constexpr __host__ __device__ int forward_shared(int d) const { return ((rows() + 2 * keys) * (d + 4) + rows() * (keys + 4)) * 4; }
    constexpr __host__ __device__ int backward_shared(int d) const { return (2 * (rows() + keys) * (d + 4) + 2 * rows() * (keys + 4)) * 4; }
};

constexpr __host__ __device__ Float32Tile float32_tile(int d) {
    return d <= 64 ? Float32Tile{4, 32} : Float32Tile{2, 32};
}
