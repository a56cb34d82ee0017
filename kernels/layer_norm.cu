// LayerNorm over the last axis, forward, forward from kept statistics, and backward with the residual connection.
//
// x, out, dOut, dResidual, dX [rows, dim]   weight, bias [dim]   (all T)     mean, rstd [rows]  (float32)
// dWeight, dBias [dim]  (float32, added to)
//   xhat = (x - mean) rstd,  out = xhat weight + bias,  rstd = 1 / sqrt(variance + epsilon), biased variance
//   g = dOut weight,  dX = dResidual + rstd (g - mean(g) - xhat mean(g xhat)),  dWeight += dOut xhat,  dBias += dOut
//
// A team holds a row in registers: a warp up to 1024 elements, a block of 256 threads up to 8192, each in three sizes
// (8, 16, 32 elements per thread). Rows that cannot be read 16 bytes at a time, and longer ones, are read again for
// each of their sums (`_any`, from the first-level cache where it holds them).
// Launch: forward: grid ceil(rows / 4) for warps, block 128; grid rows, block 256 for blocks. again: elementwise.
//   backward: a grid that depends on the shape alone, in which each team walks over rows; what it adds to dWeight and
//   dBias stays in its registers, the teams of a block add theirs up in order, and a block's sums lie in the workspace
//   [blocks, 2, dim] until layer_norm_add_gradients (grid (ceil(dim / 32), 2), block 1024) adds them up in order.
// Bytes:  forward 2 dim T per row, backward 4 dim T per row (3 without a residual), statistics 8 per row, and 16 dim
//         per block of the backward grid.
// FLOPs:  forward about 8 per element, backward about 14: bound by bandwidth everywhere.
// Numerics: float32; the variance from differences to the mean. Sums over a row: a thread's own elements in order,
//         then lanes in pairs, then warps in order. Every sum has the same order in every run.
// Source: Ba, Kiros, Hinton 2016 (arXiv 1607.06450).

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/column_sums.cuh"
#include "common/elements.cuh"
#include "common/reduce.cuh"
#include "common/row_team.cuh"

// ---- one row

// The same roundings wherever LayerNorm's output is computed, so that it is the same bits when computed again.
__device__ __forceinline__ float normalized(float x, float mean, float rstd) { return (x - mean) * rstd; }

__device__ __forceinline__ float normed(float x, float mean, float rstd, float weight, float bias) {
    return __fmaf_rn(normalized(x, mean, rstd), weight, bias);
}

// ---- forward

template <class T, int TEAM, int VALUES>
__device__ __forceinline__ void forward(const T* x, const T* weight, const T* bias, T* out, float* mean, float* rstd,
                                        long long rows, int dim, float epsilon) {
    constexpr int N = PACKED<T>;
    int index = index_in_team<TEAM>();
    long long row = blockIdx.x * static_cast<long long>(TEAMS<TEAM>) + team_index<TEAM>();
    if (row >= rows) return;
    float values[VALUES];
    load_row<N, TEAM>(x + row * dim, index, dim, 0, values);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < VALUES; i++) sum += values[i];
    float average = team_sum<TEAM>(sum) / dim;
    float squares = 0;
    for_each_pack<N, TEAM, VALUES>(index, dim, [&](int, int i) {
#pragma unroll
        for (int k = 0; k < N; k++) {
            float difference = values[i + k] - average;
            squares += difference * difference;
        }
    });
    float scale = 1 / sqrtf(team_sum<TEAM>(squares) / dim + epsilon);
    for_each_pack<N, TEAM, VALUES>(index, dim, [&](int column, int i) {
        float w[N];
        float b[N];
        load_floats(weight + column, w);
        load_floats(bias + column, b);
#pragma unroll
        for (int k = 0; k < N; k++) values[i + k] = normed(values[i + k], average, scale, w[k], b[k]);
        store_part<N>(out + row * dim + column, values + i);
    });
    if (index == 0) {
        mean[row] = average;
        rstd[row] = scale;
    }
}

template <class T, int TEAM>
__device__ __forceinline__ void forward_any(const T* x, const T* weight, const T* bias, T* out, float* mean,
                                            float* rstd, long long rows, int dim, float epsilon) {
    int index = index_in_team<TEAM>();
    long long row = blockIdx.x * static_cast<long long>(TEAMS<TEAM>) + team_index<TEAM>();
    if (row >= rows) return;
    const T* from = x + row * dim;
    float sum = 0;
    for (int d = index; d < dim; d += TEAM) sum += load_float(from, d);
    float average = team_sum<TEAM>(sum) / dim;
    float squares = 0;
    for (int d = index; d < dim; d += TEAM) {
        float difference = load_float(from, d) - average;
        squares += difference * difference;
    }
    float scale = 1 / sqrtf(team_sum<TEAM>(squares) / dim + epsilon);
    for (int d = index; d < dim; d += TEAM) {
        store_float(out + row * dim, d,
                    normed(load_float(from, d), average, scale, load_float(weight, d), load_float(bias, d)));
    }
    if (index == 0) {
        mean[row] = average;
        rstd[row] = scale;
    }
}

// ---- forward from kept statistics

template <class T>
struct Again {
    const T* x;
    const T* weight;
    const T* bias;
    const float* mean;
    const float* rstd;
    T* out;
    RowsOfBlock rows;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int offset) const {
        float values[N];
        float w[N];
        float b[N];
        int column = rows.column_of(offset);
        float average = mean[rows.row_of(offset)];
        float scale = rstd[rows.row_of(offset)];
        load_floats(x + at, values);
        load_floats(weight + column, w);
        load_floats(bias + column, b);
#pragma unroll
        for (int k = 0; k < N; k++) values[k] = normed(values[k], average, scale, w[k], b[k]);
        store_floats(out + at, values);
    }
};

template <class T>
__device__ __forceinline__ void again(const T* x, const T* weight, const T* bias, const float* mean, const float* rstd,
                                      T* out, long long count, int dim) {
    constexpr int N = PACKED<T>;
    RowsOfBlock rows(blockIdx.x * static_cast<long long>(ELEMENTS<N>), dim);
    bool vectors = can_pack<N>(x, dim) && aligned_16(out) && aligned_16(weight) && aligned_16(bias);
    for_each_element<N>(count, vectors, Again<T>{x, weight, bias, mean, rstd, out, rows});
}

// ---- backward

// Teams of the grid walk over the rows; `partials` gets this block's sums for dWeight, then for dBias.
template <class T, int TEAM, int VALUES>
__device__ __forceinline__ void backward(const T* dOut, const T* x, const T* weight, const float* mean,
                                         const float* rstd, const T* dResidual, T* dX, float* partials,
                                         long long rows, int dim) {
    constexpr int N = PACKED<T>;
    int index = index_in_team<TEAM>();
    int team = team_index<TEAM>();
    float dWeight[VALUES] = {};
    float dBias[VALUES] = {};
    for (long long row = blockIdx.x * static_cast<long long>(TEAMS<TEAM>) + team; row < rows;
         row += gridDim.x * static_cast<long long>(TEAMS<TEAM>)) {
        long long start = row * dim;
        float average = mean[row];
        float scale = rstd[row];
        float xhat[VALUES];
        float gradient[VALUES];
        load_row<N, TEAM>(x + start, index, dim, 0, xhat);
        load_row<N, TEAM>(dOut + start, index, dim, 0, gradient);
        // Short rows are in flight at once with the residual; for long ones that would cost a block per multiprocessor.
        constexpr bool EARLY = VALUES == 8;
        float residual[EARLY ? VALUES : N] = {};
        if (EARLY && dResidual != nullptr) load_row<N, TEAM>(dResidual + start, index, dim, 0, residual);
        float sum = 0;
        float product = 0;
        for_each_pack<N, TEAM, VALUES>(index, dim, [&](int column, int i) {
            float w[N];
            load_floats(weight + column, w);
#pragma unroll
            for (int k = 0; k < N; k++) {
                xhat[i + k] = normalized(xhat[i + k], average, scale);
                dWeight[i + k] += gradient[i + k] * xhat[i + k];
                dBias[i + k] += gradient[i + k];
                gradient[i + k] *= w[k];
                sum += gradient[i + k];
                product += gradient[i + k] * xhat[i + k];
            }
        });
        sum = team_sum<TEAM>(sum) / dim;
        product = team_sum<TEAM>(product) / dim;
        for_each_pack<N, TEAM, VALUES>(index, dim, [&](int column, int i) {
            int at = EARLY ? i : 0;
            if (!EARLY && dResidual != nullptr) load_part<N>(dResidual + start + column, residual);
#pragma unroll
            for (int k = 0; k < N; k++) {
                gradient[i + k] = residual[at + k] + scale * (gradient[i + k] - sum - xhat[i + k] * product);
            }
            store_part<N>(dX + start + column, gradient + i);
        });
    }
    float* to = partials + blockIdx.x * 2LL * dim;
    if (TEAM == WARP) {
        // Warp after warp adds its sums to the block's; a block whose teams are one needs no help.
        SHARED float of_block[2][TEAM == WARP ? WARP * VALUES : 1];
        for (int warp = 0; warp < TEAMS<TEAM>; warp++) {
            if (team == warp) {
                for_each_pack<N, TEAM, VALUES>(index, dim, [&](int column, int i) {
#pragma unroll
                    for (int k = 0; k < N; k++) {
                        of_block[0][column + k] = dWeight[i + k] + (warp == 0 ? 0 : of_block[0][column + k]);
                        of_block[1][column + k] = dBias[i + k] + (warp == 0 ? 0 : of_block[1][column + k]);
                    }
                });
            }
            __syncthreads();
        }
        for (int d = static_cast<int>(threadIdx.x); d < dim; d += BLOCK<TEAM>) {
            to[d] = of_block[0][d];
            to[dim + d] = of_block[1][d];
        }
    } else {
        for_each_pack<N, TEAM, VALUES>(index, dim, [&](int column, int i) {
#pragma unroll
            for (int k = 0; k < N; k++) {
                to[column + k] = dWeight[i + k];
                to[dim + column + k] = dBias[i + k];
            }
        });
    }
}

// The gradient of the input alone, for rows of any length and alignment: one team per row.
template <class T, int TEAM>
__device__ __forceinline__ void backward_any(const T* dOut, const T* x, const T* weight, const float* mean,
                                             const float* rstd, const T* dResidual, T* dX, long long rows, int dim) {
    int index = index_in_team<TEAM>();
    long long row = blockIdx.x * static_cast<long long>(TEAMS<TEAM>) + team_index<TEAM>();
    if (row >= rows) return;
    long long start = row * dim;
    float average = mean[row];
    float scale = rstd[row];
    float sum = 0;
    float product = 0;
    for (int d = index; d < dim; d += TEAM) {
        float gradient = load_float(dOut + start, d) * load_float(weight, d);
        sum += gradient;
        product += gradient * normalized(load_float(x + start, d), average, scale);
    }
    sum = team_sum<TEAM>(sum) / dim;
    product = team_sum<TEAM>(product) / dim;
    for (int d = index; d < dim; d += TEAM) {
        float gradient = load_float(dOut + start, d) * load_float(weight, d);
        float xhat = normalized(load_float(x + start, d), average, scale);
        float residual = dResidual == nullptr ? 0 : load_float(dResidual + start, d);
        store_float(dX + start, d, residual + scale * (gradient - sum - xhat * product));
    }
}

// Sums for dWeight and dBias over this block's part of the rows: a thread per column, grid (columns / 256, parts).
template <class T>
__device__ __forceinline__ void parameters_any(const T* dOut, const T* x, const float* mean, const float* rstd,
                                               float* partials, long long rows, int dim, long long rows_per_part) {
    int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (column >= dim) return;
    long long end = min(rows, (blockIdx.y + 1) * rows_per_part);
    float dWeight = 0;
    float dBias = 0;
    for (long long row = blockIdx.y * rows_per_part; row < end; row++) {
        float gradient = load_float(dOut, row * dim + column);
        dWeight += gradient * normalized(load_float(x, row * dim + column), mean[row], rstd[row]);
        dBias += gradient;
    }
    float* to = partials + blockIdx.y * 2LL * dim;
    to[column] = dWeight;
    to[dim + column] = dBias;
}

// ---- entry points: layer_norm_{forward,backward}_{f32,bf16}_{warp,block}{8,16,32,_any}

#define FORWARD(suffix, T, team, TEAM, function)                                                             \
    extern "C" __global__ void __launch_bounds__(BLOCK<TEAM>)                                                \
        layer_norm_forward_##suffix##_##team(const T* x, const T* weight, const T* bias, T* out, float* mean, \
                                             float* rstd, long long rows, int dim, float epsilon) {          \
        function(x, weight, bias, out, mean, rstd, rows, dim, epsilon);                                      \
    }                                                                                                        \
    REGISTER_KERNEL(layer_norm_forward_##suffix##_##team);

#define BACKWARD(suffix, T, team, TEAM, VALUES)                                                              \
    extern "C" __global__ void __launch_bounds__(BLOCK<TEAM>)                                                \
        layer_norm_backward_##suffix##_##team(const T* dOut, const T* x, const T* weight, const float* mean, \
                                              const float* rstd, const T* dResidual, T* dX, float* partials, \
                                              long long rows, int dim) {                                     \
        backward<T, TEAM, VALUES>(dOut, x, weight, mean, rstd, dResidual, dX, partials, rows, dim);          \
    }                                                                                                        \
    REGISTER_KERNEL(layer_norm_backward_##suffix##_##team);

#define BACKWARD_ANY(suffix, T, team, TEAM)                                                                  \
    extern "C" __global__ void __launch_bounds__(BLOCK<TEAM>)                                                \
        layer_norm_backward_##suffix##_##team(const T* dOut, const T* x, const T* weight, const float* mean, \
                                              const float* rstd, const T* dResidual, T* dX, long long rows,  \
                                              int dim) {                                                     \
        backward_any<T, TEAM>(dOut, x, weight, mean, rstd, dResidual, dX, rows, dim);                        \
    }                                                                                                        \
    REGISTER_KERNEL(layer_norm_backward_##suffix##_##team);

#define IN_REGISTERS(suffix, T, team, TEAM, VALUES)                                       \
    FORWARD(suffix, T, team##VALUES, TEAM, (forward<T, TEAM, VALUES>))                    \
    BACKWARD(suffix, T, team##VALUES, TEAM, VALUES)

#define ENTRY_POINTS(suffix, T)                                                                              \
    IN_REGISTERS(suffix, T, warp, WARP, 8)                                                                   \
    IN_REGISTERS(suffix, T, warp, WARP, 16)                                                                  \
    IN_REGISTERS(suffix, T, warp, WARP, 32)                                                                  \
    IN_REGISTERS(suffix, T, block, BLOCK_TEAM, 8)                                                            \
    IN_REGISTERS(suffix, T, block, BLOCK_TEAM, 16)                                                           \
    IN_REGISTERS(suffix, T, block, BLOCK_TEAM, 32)                                                           \
    FORWARD(suffix, T, warp_any, WARP, (forward_any<T, WARP>))                                               \
    FORWARD(suffix, T, block_any, BLOCK_TEAM, (forward_any<T, BLOCK_TEAM>))                                  \
    BACKWARD_ANY(suffix, T, warp_any, WARP)                                                                  \
    BACKWARD_ANY(suffix, T, block_any, BLOCK_TEAM)                                                           \
    extern "C" __global__ void __launch_bounds__(BLOCK_TEAM)                                                 \
        layer_norm_parameters_##suffix(const T* dOut, const T* x, const float* mean, const float* rstd,      \
                                       float* partials, long long rows, int dim, long long rows_per_part) {  \
        parameters_any(dOut, x, mean, rstd, partials, rows, dim, rows_per_part);                             \
    }                                                                                                        \
    REGISTER_KERNEL(layer_norm_parameters_##suffix);                                                         \
    extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)                                            \
        layer_norm_again_##suffix(const T* x, const T* weight, const T* bias, const float* mean,             \
                                  const float* rstd, T* out, long long count, int dim) {                     \
        again(x, weight, bias, mean, rstd, out, count, dim);                                                 \
    }                                                                                                        \
    REGISTER_KERNEL(layer_norm_again_##suffix);

ENTRY_POINTS(f32, float)
ENTRY_POINTS(bf16, bf16)

extern "C" __global__ void __launch_bounds__(SUM_COLUMNS * SUM_GROUPS)
    layer_norm_add_gradients(const float* partials, long long blocks, int dim, float* dWeight, float* dBias) {
    SHARED float of_group[SUM_GROUPS][SUM_COLUMNS + 1];
    int column = static_cast<int>(blockIdx.x) * SUM_COLUMNS + lane_index();
    float* to = blockIdx.y == 0 ? dWeight : dBias;
    float sum = sum_of_column(partials + blockIdx.y * static_cast<long long>(dim), blocks, 2LL * dim, column, dim,
                              of_group);
    if (warp_index() == 0 && column < dim) to[column] += sum;
}
REGISTER_KERNEL(layer_norm_add_gradients);
