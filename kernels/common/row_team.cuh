// A row of a matrix in the registers of a team: a warp or a whole block of 256 threads.
//
// Thread `index` of a team of TEAM threads holds VALUES elements: packs index, index + TEAM, index + 2 TEAM, ... of
// N = 16 / sizeof(T) neighbours. So a team covers rows of up to TEAM * VALUES elements that can be read 16 bytes at a
// time. Packs beyond the row are neither read nor written.

#pragma once

#include "elements.cuh"
#include "reduce.cuh"

constexpr int BLOCK_TEAM = 256;

// Warps of a block whose teams are warps.
constexpr int WARPS = 4;

template <int TEAM>
constexpr int BLOCK = TEAM == WARP ? WARPS * WARP : TEAM;

template <int TEAM>
constexpr int TEAMS = BLOCK<TEAM> / TEAM;

template <int TEAM>
__device__ __forceinline__ int team_index() { return TEAM == WARP ? warp_index() : 0; }

template <int TEAM>
__device__ __forceinline__ int index_in_team() { return TEAM == WARP ? lane_index() : static_cast<int>(threadIdx.x); }

template <int TEAM>
__device__ __forceinline__ float team_sum(float value) {
    return TEAM == WARP ? warp_sum(value) : block_sum<TEAM>(value);
}

template <int TEAM>
__device__ __forceinline__ float team_max(float value) {
    return TEAM == WARP ? warp_max(value) : block_max<TEAM>(value);
}

// Calls action(column, i): elements column .. column+N-1 of the row are values i .. i+N-1 of this thread.
template <int N, int TEAM, int VALUES, class Action>
__device__ __forceinline__ void for_each_pack(int index, int columns, Action action) {
#pragma unroll
    for (int i = 0; i < VALUES; i += N) {
        int column = i * TEAM + index * N;
        if (column < columns) action(column, i);
    }
}

// Loads into, or stores from, values[0 .. N-1].
template <int N, class T>
__device__ __forceinline__ void load_part(const T* from, float* values) {
    unpack(load_pack<N>(from), values);
}

template <int N, class T>
__device__ __forceinline__ void store_part(T* to, const float* values) {
    store_pack<N>(to, packed<T, N>(values));
}

// This thread's part of a row; what lies beyond the row is `filler`.
template <int N, int TEAM, int VALUES, class T>
__device__ __forceinline__ void load_row(const T* row, int index, int columns, float filler, float (&values)[VALUES]) {
#pragma unroll
    for (int i = 0; i < VALUES; i += N) {
        int column = i * TEAM + index * N;
        if (column < columns) {
            load_part<N>(row + column, values + i);
        } else {
#pragma unroll
            for (int k = 0; k < N; k++) values[i + k] = filler;
        }
    }
}
