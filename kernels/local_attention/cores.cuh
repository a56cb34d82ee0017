// Local attention in float32 arithmetic: any length up to 64, any head size up to 128, any alignment, both dtypes.
//
// A block holds a tile in shared memory as float32. It has one warp for every eight keys; rows pass in groups of 32.
// For scores a lane is a row and a warp its eight keys, so that a key's elements come as one broadcast; for results a
// lane is a row and warps share the elements; for the gradients of keys and values a warp owns its keys and lanes share
// the elements, so that a sum over rows has one owner and one order.

#pragma once

#include "../common/async_copy.cuh"
#include "tile.cuh"

namespace local_attention {

constexpr int ROWS = 32;
constexpr int KEYS_PER_WARP = 8;

// Floats from one row to the next in shared memory: 16-byte parts, an odd number of them, so that 32 lanes that read
// the same part of 32 rows meet no bank twice.
__device__ __forceinline__ int padded(int head_size) {
    int parts = (head_size + 3) / 4;
    return 4 * (parts | 1);
}

// Four elements of a row from `element` on, 0 behind its end.
template <class T>
__device__ __forceinline__ float4 load_four(const T* row, int element, int head_size, bool vector) {
    if (vector) return load4(row + element);
    float value[4];
#pragma unroll
    for (int i = 0; i < 4; i++) value[i] = element + i < head_size ? load_float(row, element + i) : 0;
    return make_float4(value[0], value[1], value[2], value[3]);
}

template <class T>
__device__ __forceinline__ void store_four(T* row, int element, int head_size, bool vector, float4 value) {
    if (vector) {
        store4(row + element, value);
        return;
    }
    if (element < head_size) store_float(row, element, value.x);
    if (element + 1 < head_size) store_float(row, element + 1, value.y);
    if (element + 2 < head_size) store_float(row, element + 2, value.z);
    if (element + 3 < head_size) store_float(row, element + 3, value.w);
}

// Copies rows between memory and shared memory, the whole block together; address(row) is null for padding, which
// becomes zeros.
struct RowCopy {
    int head_size;
    int stride;
    bool vector;  // four elements at a time are aligned

    template <class Address>
    __device__ __forceinline__ void fetch(float* rows, int count, Address address) const {
        int parts = (head_size + 3) / 4;
        Divider of_parts(parts);
        for (int i = threadIdx.x; i < count * parts; i += blockDim.x) {
            int row = of_parts(i);
            int element = 4 * (i - row * parts);
            fetch_part(rows + row * stride + element, address(row), element);
        }
    }
    template <class Address>
    __device__ __forceinline__ void write(const float* rows, int count, Address address) const {
        int parts = (head_size + 3) / 4;
        Divider of_parts(parts);
        for (int i = threadIdx.x; i < count * parts; i += blockDim.x) {
            int row = of_parts(i);
            int element = 4 * (i - row * parts);
            auto* to = address(row);
            if (to != nullptr) store_four(to, element, head_size, vector, load4(rows + row * stride + element));
        }
    }

private:
    __device__ __forceinline__ void fetch_part(float* to, const float* row, int element) const {
        if (vector) {
            cp_async_16(to, row + element, row != nullptr);
        } else {
            store4(to, row == nullptr ? make_float4(0, 0, 0, 0) : load_four(row, element, head_size, false));
        }
    }
    __device__ __forceinline__ void fetch_part(float* to, const bf16* row, int element) const {
        store4(to, row == nullptr ? make_float4(0, 0, 0, 0) : load_four(row, element, head_size, vector));
    }
};

// After all fetches, before anyone reads what they brought.
__device__ __forceinline__ void fetched() {
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
}

__device__ __forceinline__ float add_product(float sum, const float4& a, const float4& b) {
    sum = __fmaf_rn(a.x, b.x, sum);
    sum = __fmaf_rn(a.y, b.y, sum);
    sum = __fmaf_rn(a.z, b.z, sum);
    return __fmaf_rn(a.w, b.w, sum);
}

// sums[j] = row . keys[j], both in shared memory.
__device__ __forceinline__ void products(const float* row, const float* keys, int stride, int head_size,
                                         float (&sums)[KEYS_PER_WARP]) {
#pragma unroll
    for (int j = 0; j < KEYS_PER_WARP; j++) sums[j] = 0;
    for (int element = 0; element < head_size; element += 4) {
        float4 own = load4(row + element);
#pragma unroll
        for (int j = 0; j < KEYS_PER_WARP; j++) sums[j] = add_product(sums[j], own, load4(keys + j * stride + element));
    }
}

// Scores of a lane's row with a warp's keys in units of log2, -infinity where it does not see a key. Forward and
// backward call the same code, so that they get the same bits.
__device__ __forceinline__ void scores(const float* row, const float* keys, int stride, const Tile& tile, const Row& at,
                                       int first_key, const Problem& problem, float (&s)[KEYS_PER_WARP]) {
    products(row, keys + first_key * stride, stride, problem.head_size, s);
    float slope = tile.slope(at);
#pragma unroll
    for (int j = 0; j < KEYS_PER_WARP; j++) {
        int key = first_key + j;
        float biased = __fmaf_rn(s[j], problem.scale * LOG2_E, -slope * (at.position - key));
        s[j] = at.sees(key) ? biased : -INFINITY;
    }
}

// Eight elements of sum over keys of weights[key] * rows[key], from `element` on.
__device__ __forceinline__ void weighted_sum(const float* weights, const float* rows, int stride, int keys,
                                             float4 (&sum)[2]) {
    sum[0] = sum[1] = make_float4(0, 0, 0, 0);
    for (int key = 0; key < keys; key++) {
        float weight = weights[key];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float4 value = load4(rows + key * stride + 4 * i);
            sum[i].x = __fmaf_rn(weight, value.x, sum[i].x);
            sum[i].y = __fmaf_rn(weight, value.y, sum[i].y);
            sum[i].z = __fmaf_rn(weight, value.z, sum[i].z);
            sum[i].w = __fmaf_rn(weight, value.w, sum[i].w);
        }
    }
}

// A lane's row of results, for a row of weights of its own: rows of `to` are overwritten, eight elements a warp.
__device__ __forceinline__ void results(const float* weights, const float* rows, int stride, int head_size, int keys,
                                        float factor, float* to) {
    int warps = blockDim.x / WARP;
    for (int element = 8 * warp_index(); element < head_size; element += 8 * warps) {
        float4 sum[2];
        weighted_sum(weights, rows + element, stride, keys, sum);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float4 scaled = make_float4(sum[i].x * factor, sum[i].y * factor, sum[i].z * factor, sum[i].w * factor);
            if (element + 4 * i < head_size) store4(to + element + 4 * i, scaled);
        }
    }
}

// Shared: keys, values [8 * warps, stride]; rows [32, stride]; weights [32, 8 * warps + 1]; maxima and sums
// [2, warps, 32]. The last row of values may be read four floats beyond its end.
template <class T>
__device__ __forceinline__ void forward_cores(const T* qkv, T* out, float* lse, const Problem& problem) {
    DYNAMIC_SHARED(float, shared);
    int warps = blockDim.x / WARP;
    int keys_here = KEYS_PER_WARP * warps;
    int stride = padded(problem.head_size);
    RowCopy copy = {problem.head_size, stride, can_pack<4>(qkv, problem.head_size) && can_pack<4>(out, 4)};
    float* keys = shared;
    float* values = keys + keys_here * stride;
    float* rows = values + keys_here * stride;
    int weight_stride = keys_here + 1;
    float* weights = rows + ROWS * stride;
    float* maxima = weights + ROWS * weight_stride;
    float* sums = maxima + ROWS * warps;
    Tile tile(problem, blockIdx.x / problem.key_value_heads, blockIdx.x % problem.key_value_heads);
    int lane = lane_index();
    int warp = warp_index();
    int first_key = KEYS_PER_WARP * warp;

    copy.fetch(keys, keys_here, [&](int i) { return i < tile.positions ? tile.key(qkv, i) : nullptr; });
    copy.fetch(values, keys_here, [&](int i) { return i < tile.positions ? tile.value(qkv, i) : nullptr; });
    for (int first = 0; first < tile.rows; first += ROWS) {
        copy.fetch(rows, ROWS, [&](int i) {
            Row row = tile.row(first + i);
            return row.valid() ? tile.query(qkv, row) : nullptr;
        });
        fetched();
        Row own = tile.row(first + lane);
        int visible = tile.visible(first, ROWS);
        float s[KEYS_PER_WARP];
        float largest = -INFINITY;
        if (first_key < visible) {
            scores(rows + lane * stride, keys, stride, tile, own, first_key, problem, s);
#pragma unroll
            for (int j = 0; j < KEYS_PER_WARP; j++) largest = max(largest, s[j]);
        }
        maxima[warp * ROWS + lane] = largest;
        __syncthreads();
        for (int other = 0; other < warps; other++) largest = max(largest, maxima[other * ROWS + lane]);
        float sum = 0;
        if (first_key < visible) {
#pragma unroll
            for (int j = 0; j < KEYS_PER_WARP; j++) {
                float p = fast_exp2(s[j] - largest);
                sum += p;
                weights[lane * weight_stride + first_key + j] = p;
            }
        }
        sums[warp * ROWS + lane] = sum;
        __syncthreads();
        sum = 0;
        for (int other = 0; other < warps; other++) sum += sums[other * ROWS + lane];
        results(weights + lane * weight_stride, values, stride, problem.head_size, visible, fast_reciprocal(sum),
                rows + lane * stride);
        if (warp == 0 && own.valid()) *tile.statistic(lse, own) = (largest + log2f(sum)) * LN_2;
        __syncthreads();
        copy.write(rows, ROWS, [&](int i) {
            Row row = tile.row(first + i);
            return row.valid() ? tile.result(out, row) : nullptr;
        });
        __syncthreads();
    }
}

// Sum over rows of weights[row][key] * rows[row] for KEYS keys, four elements a lane.
template <int KEYS>
struct CoreGradient {
    float4 sum[KEYS];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int j = 0; j < KEYS; j++) sum[j] = make_float4(0, 0, 0, 0);
    }
    __device__ __forceinline__ void add(const float* weights, int weight_stride, const float* rows, int stride) {
        for (int row = 0; row < ROWS; row++) {
            float4 value = load4(rows + row * stride);
#pragma unroll
            for (int part = 0; part < KEYS; part += 4) {
                float4 four = load4(weights + row * weight_stride + part);
                float weight[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float4& to = sum[part + j];
                    to.x = __fmaf_rn(weight[j], value.x, to.x);
                    to.y = __fmaf_rn(weight[j], value.y, to.y);
                    to.z = __fmaf_rn(weight[j], value.z, to.z);
                    to.w = __fmaf_rn(weight[j], value.w, to.w);
                }
            }
        }
    }
};

// KEYS keys a lane in the gradients of keys and values: 8 for head sizes up to 128, 4 up to 64.
// Shared: keys, values [8 * warps, stride]; queries, dOut [32, stride]; probabilities, score gradients
// [32, 8 * warps + 4]; delta [32]. The last row of keys may be read four floats beyond its end.
template <class T, int KEYS>
__device__ __forceinline__ void backward_cores(const T* qkv, const T* out, const float* lse, const T* d_out, T* d_qkv,
                                               const Problem& problem) {
    DYNAMIC_SHARED(float, shared);
    int warps = blockDim.x / WARP;
    int keys_here = KEYS_PER_WARP * warps;
    int stride = padded(problem.head_size);
    RowCopy copy = {problem.head_size, stride,
                    can_pack<4>(qkv, problem.head_size) && can_pack<4>(out, 4) && can_pack<4>(d_out, 4) &&
                        can_pack<4>(d_qkv, 4)};
    float* keys = shared;
    float* values = keys + keys_here * stride;
    float* queries = values + keys_here * stride;
    float* d_results = queries + ROWS * stride;
    int weight_stride = keys_here + 4;
    float* p = d_results + ROWS * stride;
    float* d_scores = p + ROWS * weight_stride;
    float* deltas = d_scores + ROWS * weight_stride;
    Tile tile(problem, blockIdx.x / problem.key_value_heads, blockIdx.x % problem.key_value_heads);
    int lane = lane_index();
    int warp = warp_index();
    int first_key = KEYS_PER_WARP * warp;

    // A lane's share of the gradients: KEYS keys from gradient_key on, four elements.
    constexpr int LANES = 4 * KEYS;
    int gradient_key = first_key + KEYS * (lane / LANES);
    int gradient_element = 4 * (lane % LANES);
    bool gradient = gradient_element < problem.head_size;
    CoreGradient<KEYS> d_keys;
    CoreGradient<KEYS> d_values;
    d_keys.clear();
    d_values.clear();

    copy.fetch(keys, keys_here, [&](int i) { return i < tile.positions ? tile.key(qkv, i) : nullptr; });
    copy.fetch(values, keys_here, [&](int i) { return i < tile.positions ? tile.value(qkv, i) : nullptr; });
    for (int first = 0; first < tile.rows; first += ROWS) {
        copy.fetch(queries, ROWS, [&](int i) {
            Row row = tile.row(first + i);
            return row.valid() ? tile.query(qkv, row) : nullptr;
        });
        copy.fetch(d_results, ROWS, [&](int i) {
            Row row = tile.row(first + i);
            return row.valid() ? tile.result(d_out, row) : nullptr;
        });
        fetched();
        // Sum of out * dOut: eight lanes a row.
        for (int index = threadIdx.x / 8; index < ROWS; index += blockDim.x / 8) {
            Row row = tile.row(first + index);
            const T* result = tile.result(out, row);
            float delta = 0;
            for (int element = 4 * (lane % 8); row.valid() && element < problem.head_size; element += 32) {
                delta = add_product(delta, load_four(result, element, problem.head_size, copy.vector),
                                    load4(d_results + index * stride + element));
            }
#pragma unroll
            for (int distance = 4; distance > 0; distance /= 2) delta += __shfl_xor_sync(ALL_LANES, delta, distance);
            if (lane % 8 == 0) deltas[index] = delta;
        }
        __syncthreads();

        Row own = tile.row(first + lane);
        int visible = tile.visible(first, ROWS);
        float s[KEYS_PER_WARP];
        if (first_key < visible) {
            float log_sum = own.valid() ? *tile.statistic(lse, own) * LOG2_E : 0;
            float delta = deltas[lane];
            float d[KEYS_PER_WARP];
            scores(queries + lane * stride, keys, stride, tile, own, first_key, problem, s);
            products(d_results + lane * stride, values + first_key * stride, stride, problem.head_size, d);
            float* p_row = p + lane * weight_stride + first_key;
            float* d_row = d_scores + lane * weight_stride + first_key;
#pragma unroll
            for (int j = 0; j < KEYS_PER_WARP; j++) {
                bool sees = own.sees(first_key + j);
                s[j] = sees ? probability(s[j] - log_sum) : 0;
                d[j] = sees ? s[j] * (d[j] - delta) * problem.scale : 0;
            }
#pragma unroll
            for (int j = 0; j < KEYS_PER_WARP; j += 4) {
                store4(p_row + j, make_float4(s[j], s[j + 1], s[j + 2], s[j + 3]));
                store4(d_row + j, make_float4(d[j], d[j + 1], d[j + 2], d[j + 3]));
            }
            __syncwarp();
            if (gradient) {
                d_values.add(p + gradient_key, weight_stride, d_results + gradient_element, stride);
                d_keys.add(d_scores + gradient_key, weight_stride, queries + gradient_element, stride);
            }
        }
        __syncthreads();
        results(d_scores + lane * weight_stride, keys, stride, problem.head_size, visible, 1, queries + lane * stride);
        __syncthreads();
        copy.write(queries, ROWS, [&](int i) {
            Row row = tile.row(first + i);
            return row.valid() ? tile.query(d_qkv, row) : nullptr;
        });
        __syncthreads();
    }
    // Keys and values have been read for the last time: their gradients take their place on the way out.
#pragma unroll
    for (int j = 0; j < KEYS; j++) {
        int at = (gradient_key + j) * stride + gradient_element;
        if (gradient) store4(keys + at, d_keys.sum[j]);
        if (gradient) store4(values + at, d_values.sum[j]);
    }
    __syncthreads();
    copy.write(keys, keys_here, [&](int i) { return i < tile.positions ? tile.key(d_qkv, i) : nullptr; });
    copy.write(values, keys_here, [&](int i) { return i < tile.positions ? tile.value(d_qkv, i) : nullptr; });
}

}  // namespace local_attention
