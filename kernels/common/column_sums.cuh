// The second stage of sums over rows: a matrix of partial sums is added up column by column, in the order of its rows.

#pragma once

#include "platform.cuh"

constexpr int SUM_COLUMNS = 32;  // columns of a block, one per lane
constexpr int SUM_GROUPS = 32;   // runs of consecutive rows, one per warp

// The sum of rows [0, rows) of a column of `partials`, whose rows are `stride` apart. All GROUPS warps of a block call
// it, with the column of their lane; threads of warp 0 get the result. `of_group` is shared memory.
template <int GROUPS>
__device__ __forceinline__ float sum_of_column(const float* partials, long long rows, long long stride,
                                               long long column, long long columns,
                                               float (&of_group)[GROUPS][SUM_COLUMNS + 1]) {
    int lane = lane_index();
    int group = warp_index();
    long long per_group = (rows + GROUPS - 1) / GROUPS;
    long long end = min(rows, (group + 1) * per_group);
    float sum = 0;
    if (column < columns) {
        const float* at = partials + column;
#pragma unroll 8
        for (long long row = group * per_group; row < end; row++) sum += at[row * stride];
    }
    of_group[group][lane] = sum;
    __syncthreads();
    if (group != 0) return 0;
    sum = 0;
#pragma unroll
    for (int i = 0; i < GROUPS; i++) sum += of_group[i][lane];
    return sum;
}
