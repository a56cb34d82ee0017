// LayerNorm of a tile of rows (layer_norm.cu has the formulas), as first and as last step of a layer.

#pragma once

#include "layer_tile.cuh"

// A row of D elements, eight for a lane: a warp has WARP * 8 / D rows at a time.
template <int D>
struct NormRows {
    static constexpr int LANES = D / 8;
    static constexpr int AT_ONCE = WARP / LANES;
    static constexpr int ROWS = LAYER_ROWS / LAYER_WARPS;  // of a warp
    static constexpr int BATCH = 4;                        // loads in flight
    static_assert(LANES <= WARP && ROWS % (AT_ONCE * BATCH) == 0, "D is 64, 128 or 256");

    int column;
    float weight[8];
    float bias[8];

    __device__ __forceinline__ NormRows(const bf16* weights, const bf16* biases) {
        column = lane_index() % LANES * 8;
        load_floats(weights + column, weight);
        load_floats(biases + column, bias);
    }

    // The lane's row of the i-th pass.
    __device__ __forceinline__ int row(int i) const {
        return warp_index() * ROWS + i * AT_ONCE + lane_index() / LANES;
    }

    __device__ __forceinline__ float sum(float value) const {
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2) {
            value += __shfl_xor_sync(ALL_LANES, value, distance);
        }
        return value;
    }

    __device__ __forceinline__ void load(float (&values)[BATCH][8], const bf16* x, int first, int valid) const {
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            Pack<bf16, 8> pack = {};
            if (row(first + i) < valid) pack = load_pack<8>(x + row(first + i) * D + column);
            unpack(pack, values[i]);
        }
    }

    // Puts a row into the tile and into global memory, unless one is null.
    __device__ __forceinline__ void put(bf16* tile, bf16* normed, int row, bool valid, float (&values)[8], float mean,
                                        float rstd) const {
#pragma unroll
        for (int k = 0; k < 8; k++) values[k] = __fmaf_rn((values[k] - mean) * rstd, weight[k], bias[k]);
        Pack<bf16, 8> pack = packed<bf16, 8>(values);
        if (tile != nullptr) store_pack<8>(tile + chunk_offset<D>(row, column / 8), pack);
        if (normed != nullptr && valid) store_pack<8>(normed + row * D + column, pack);
    }
};

// LayerNorm of the tile's rows. x, mean and rstd begin with the tile's first row; rows from `valid` on are any numbers.
template <int D>
__device__ __forceinline__ void normalize(bf16* tile, const bf16* x, const bf16* weight, const bf16* bias, float* mean,
                                          float* rstd, float epsilon, int valid) {
    using Rows = NormRows<D>;
    Rows rows(weight, bias);
#pragma unroll 1
    for (int first = 0; first < Rows::ROWS / Rows::AT_ONCE; first += Rows::BATCH) {
        float values[Rows::BATCH][8];
        rows.load(values, x, first, valid);
#pragma unroll
        for (int i = 0; i < Rows::BATCH; i++) {
            int row = rows.row(first + i);
            float sum = 0;
#pragma unroll
            for (int k = 0; k < 8; k++) sum += values[i][k];
            float average = rows.sum(sum) / D;
            float squares = 0;
#pragma unroll
            for (int k = 0; k < 8; k++) squares += (values[i][k] - average) * (values[i][k] - average);
            float scale = 1 / sqrtf(rows.sum(squares) / D + epsilon);
            rows.put(tile, nullptr, row, false, values[i], average, scale);
            if (rows.column == 0 && row < valid) {
                mean[row] = average;
                rstd[row] = scale;
            }
        }
    }
}

// The same from kept statistics, to the tile unless that is null, and to `normed` in global memory.
template <int D>
__device__ __forceinline__ void normalize_again(bf16* tile, bf16* normed, const bf16* x, const bf16* weight,
                                                const bf16* bias, const float* mean, const float* rstd, int valid) {
    using Rows = NormRows<D>;
    Rows rows(weight, bias);
#pragma unroll 1
    for (int first = 0; first < Rows::ROWS / Rows::AT_ONCE; first += Rows::BATCH) {
        float values[Rows::BATCH][8];
        rows.load(values, x, first, valid);
#pragma unroll
        for (int i = 0; i < Rows::BATCH; i++) {
            int row = rows.row(first + i);
            bool there = row < valid;
            rows.put(tile, normed, row, there, values[i], there ? mean[row] : 0, there ? rstd[row] : 0);
        }
    }
}

// Shared memory that norm_backward takes: sums of rows by both sides, sums of columns by the four groups of rows.
template <int D>
constexpr int NORM_BACKWARD_FLOATS = 2 * 2 * LAYER_ROWS + 4 * 2 * D;

// Backward of LayerNorm and of the residual connection around it. `gradient` is the part of the gradient of LayerNorm's
// output; `x` and `residual` are tiles, the second gets the gradient of the input. dWeight and dBias [D] get the sums
// over the tile. Other warps may still read the tiles' other parts, but not `scratch`; ends before a barrier that has
// to come before the residual's tile is read.
template <int D>
__device__ __forceinline__ void norm_backward(float (&gradient)[2][D / 16][4], bf16* x, bf16* residual,
                                              const bf16* weight, const float* mean, const float* rstd, int valid,
                                              float* dWeight, float* dBias, float* scratch) {
    constexpr int N = D / 16;
    float* of_rows = scratch;                        // [side][row][2]
    float* of_columns = scratch + 4 * LAYER_ROWS;    // [group][2][D]
    Part part;
    float average[4];
    float scale[4];
    float sum[4] = {0, 0, 0, 0};
    float product[4] = {0, 0, 0, 0};
#pragma unroll
    for (int r = 0; r < 4; r++) {
        bool there = part.lane_row(r) < valid;
        average[r] = there ? mean[part.lane_row(r)] : 0;
        scale[r] = there ? rstd[part.lane_row(r)] : 0;
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
        int chunk = part.side * N + n;
        unsigned weights = *reinterpret_cast<const unsigned*>(weight + 8 * chunk + part.pair());
        float w[2] = {low_bf16(weights), high_bf16(weights)};
        float of_weight[2] = {0, 0};
        float of_bias[2] = {0, 0};
#pragma unroll
        for (int r = 0; r < 4; r++) {
            unsigned values = part.in_tile<D>(x, r, chunk);
            float xhat[2] = {(low_bf16(values) - average[r]) * scale[r], (high_bf16(values) - average[r]) * scale[r]};
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float& g = gradient[r / 2][n][2 * (r % 2) + e];
                of_weight[e] += g * xhat[e];
                of_bias[e] += g;
                g *= w[e];
                sum[r] += g;
                product[r] += g * xhat[e];
            }
        }
#pragma unroll
        for (int e = 0; e < 2; e++) {
#pragma unroll
            for (int distance = 4; distance < WARP; distance *= 2) {
                of_weight[e] += __shfl_xor_sync(ALL_LANES, of_weight[e], distance);
                of_bias[e] += __shfl_xor_sync(ALL_LANES, of_bias[e], distance);
            }
            if (part.lane < 4) {
                float* to = of_columns + part.row / 32 * 2 * D + 8 * chunk + part.pair() + e;
                to[0] = of_weight[e];
                to[D] = of_bias[e];
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        sum[r] = quad_sum(sum[r]);
        product[r] = quad_sum(product[r]);
        if (part.pair() == 0) {
            float* to = of_rows + 2 * (part.side * LAYER_ROWS + part.lane_row(r));
            to[0] = sum[r];
            to[1] = product[r];
        }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const float* left = of_rows + 2 * part.lane_row(r);
        const float* right = left + 2 * LAYER_ROWS;
        sum[r] = (left[0] + right[0]) / D;
        product[r] = (left[1] + right[1]) / D;
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
        int chunk = part.side * N + n;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            unsigned values = part.in_tile<D>(x, r, chunk);
            unsigned& passed = part.in_tile<D>(residual, r, chunk);
            const float(&g)[4] = gradient[r / 2][n];
            float lo = g[2 * (r % 2)] - sum[r] - (low_bf16(values) - average[r]) * scale[r] * product[r];
            float hi = g[2 * (r % 2) + 1] - sum[r] - (high_bf16(values) - average[r]) * scale[r] * product[r];
            passed = pack_bf16(__fmaf_rn(scale[r], lo, low_bf16(passed)), __fmaf_rn(scale[r], hi, high_bf16(passed)));
        }
    }
    for (int i = static_cast<int>(threadIdx.x); i < 2 * D; i += LAYER_THREADS) {
        float total = 0;
#pragma unroll
        for (int group = 0; group < 4; group++) total += of_columns[group * 2 * D + i];
        (i < D ? dWeight + i : dBias + i - D)[0] = total;
    }
}
