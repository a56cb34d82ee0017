// Forward and backward in float32, tile by tile like the bf16 kernels, without tensor cores and with one stage.

#pragma once

#include "float32_tile.cuh"
#include "partial_gradients.cuh"
#include "reach.cuh"
#include "softmax.cuh"

// bias + scale * product, in units of log2.
__device__ __forceinline__ float scaled_score(float product, float scale, float slope, int key, int position) {
    return fmaf(product, scale, slope * static_cast<float>(key - position));
}

// Shared: queries, keys, values, probabilities.
template <int D>
__device__ __forceinline__ void attention_forward_f32(const float* qkv, float* result, float* log_sum_exp, int length,
                                                      int heads, int key_value_heads, int head_size, int groups,
                                                      int split, const int* reach, int alibi, float scale) {
    constexpr Float32Tile TILE = float32_tile(D);
    constexpr int R = TILE.rows_per_thread;
    constexpr int N = TILE.passing;
    DYNAMIC_SHARED(float, queries);
    float* keys = queries + TILE.rows() * (D + 4);
    float* values = keys + N * (D + 4);
    float* probabilities = values + N * (D + 4);

    Work work(length, heads, key_value_heads, head_size, groups, split, true);
    PackedRows packed(work.tile, TILE.rows(), work.group);
    bool vectors = can_pack<4>(qkv, head_size);
    load_packed_float_rows<D, TILE.rows()>(queries, work.queries(qkv), packed, work, vectors);

    Row row[R];
    float top[R];
    float sum[R];
    float out[R][D / 32][4] = {};
#pragma unroll
    for (int i = 0; i < R; i++) {
        int place = thread_y() + 16 * i;
        row[i] = {packed.position_of(place), alibi ? alibi_slope(work.first_head() + packed.head_of(place), heads) : 0};
        top[i] = NO_SCORE;
        sum[i] = 0;
    }
    int last_position = min(packed.position_of(TILE.rows() - 1), length - 1);
    int first_key = first_seen(reach, work, packed.position) / N * N;
    for (int first = last_position / N * N; first >= first_key; first -= N) {
        __syncthreads();
        load_float_rows<D, N>(keys, work.keys(qkv), first, work, vectors);
        load_float_rows<D, N>(values, work.values(qkv), first, work, vectors);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        float score[R][N / 8];
        multiply_rows<D>(score, queries, keys);
#pragma unroll
        for (int i = 0; i < R; i++) {
            float before = top[i];
#pragma unroll
            for (int j = 0; j < N / 8; j++) {
                int key = first + thread_x() + 8 * j;
                score[i][j] = scaled_score(score[i][j], scale * LOG2_E, row[i].slope, key, row[i].position);
                if (key <= row[i].position) top[i] = fmaxf(top[i], score[i][j]);
            }
            top[i] = row_max(top[i]);
            float factor = fast_exp2(before - top[i]);
            sum[i] *= factor;
#pragma unroll
            for (int j = 0; j < N / 8; j++) {
                bool visible = first + thread_x() + 8 * j <= row[i].position;
                float p = visible ? fast_exp2(score[i][j] - top[i]) : 0;
                sum[i] += p;
                probabilities[(thread_y() + 16 * i) * (N + 4) + thread_x() + 8 * j] = p;
            }
#pragma unroll
            for (int c = 0; c < D / 32; c++) {
#pragma unroll
                for (int e = 0; e < 4; e++) out[i][c][e] *= factor;
            }
        }
        __syncwarp();
        add_products<D, N>(out, probabilities, values);
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        float total = row_sum(sum[i]);
        if (row[i].position >= length) continue;
        int head = packed.head_of(thread_y() + 16 * i);
        float* to = work.results(result).at(row[i].position) + head * head_size;
        store_columns<D>(to, out[i], 1 / total, head_size);
        if (thread_x() == 0) log_sum_exp[work.statistics(head) + row[i].position] = top[i] * LN_2 + logf(total);
    }
}

// Shared: queries, gradients of the output, keys, values, dS.
template <int D>
__device__ __forceinline__ void attention_backward_query_f32(const float* qkv, const float* result,
                                                             const float* log_sum_exp, const float* d_result,
                                                             float* delta, float* d_qkv, int length, int heads,
                                                             int key_value_heads, int head_size, int groups, int split,
                                                             const int* reach, int alibi, float scale) {
    constexpr Float32Tile TILE = float32_tile(D);
    constexpr int R = TILE.rows_per_thread;
    constexpr int N = TILE.passing;
    DYNAMIC_SHARED(float, queries);
    float* gradients = queries + TILE.rows() * (D + 4);
    float* keys = gradients + TILE.rows() * (D + 4);
    float* values = keys + N * (D + 4);
    float* d_scores = values + N * (D + 4);

    Work work(length, heads, key_value_heads, head_size, groups, split, true);
    PackedRows packed(work.tile, TILE.rows(), work.group);
    bool vectors = can_pack<4>(qkv, head_size);
    load_packed_float_rows<D, TILE.rows()>(queries, work.queries(qkv), packed, work, vectors);
    load_packed_float_rows<D, TILE.rows()>(gradients, work.results(d_result), packed, work,
                                           can_pack<4>(d_result, head_size));
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();

    Row row[R];
    float lse[R];
    float row_delta[R];
    float d_query[R][D / 32][4] = {};
#pragma unroll
    for (int i = 0; i < R; i++) {
        int place = thread_y() + 16 * i;
        int head = packed.head_of(place);
        row[i] = {packed.position_of(place), alibi ? alibi_slope(work.first_head() + head, heads) : 0};
        bool exists = row[i].position < length;
        const float* out = work.results(result).at(row[i].position) + head * head_size;
        float sum = 0;
        for (int d = thread_x(); exists && d < head_size; d += 8) {
            sum = fmaf(out[d], gradients[place * (D + 4) + d], sum);
        }
        row_delta[i] = row_sum(sum);
        lse[i] = exists ? log_sum_exp[work.statistics(head) + row[i].position] * LOG2_E : 0;
        if (exists && thread_x() == 0) delta[work.statistics(head) + row[i].position] = row_delta[i];
    }
    int last_position = min(packed.position_of(TILE.rows() - 1), length - 1);
    int first_key = first_seen(reach, work, packed.position) / N * N;
    for (int first = last_position / N * N; first >= first_key; first -= N) {
        __syncthreads();
        load_float_rows<D, N>(keys, work.keys(qkv), first, work, vectors);
        load_float_rows<D, N>(values, work.values(qkv), first, work, vectors);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        float score[R][N / 8];
        float d_score[R][N / 8];
        multiply_rows<D>(score, queries, keys);
        multiply_rows<D>(d_score, gradients, values);
#pragma unroll
        for (int i = 0; i < R; i++) {
#pragma unroll
            for (int j = 0; j < N / 8; j++) {
                int key = first + thread_x() + 8 * j;
                float x = scaled_score(score[i][j], scale * LOG2_E, row[i].slope, key, row[i].position);
                float p = key <= row[i].position ? fast_exp2(fminf(x - lse[i], 0)) : 0;
                d_scores[(thread_y() + 16 * i) * (N + 4) + thread_x() + 8 * j] = p * (d_score[i][j] - row_delta[i]);
            }
        }
        __syncwarp();
        add_products<D, N>(d_query, d_scores, keys);
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        if (row[i].position >= length) continue;
        float* to = work.queries(d_qkv).at(row[i].position) + packed.head_of(thread_y() + 16 * i) * head_size;
        store_columns<D>(to, d_query[i], scale, head_size);
    }
}

// Shared: keys, values, queries, gradients of the output, P, dS.
template <int D>
__device__ __forceinline__ void attention_backward_key_f32(const float* qkv, const float* log_sum_exp,
                                                           const float* d_result, float* workspace, float* d_qkv,
                                                           long long partials_at, long long chunk, int length,
                                                           int heads, int key_value_heads, int head_size, int pairs,
                                                           const int* reach, int alibi, float scale) {
    constexpr Float32Tile TILE = float32_tile(D);
    constexpr int R = TILE.rows_per_thread;
    constexpr int N = TILE.passing;
    DYNAMIC_SHARED(float, keys);
    float* values = keys + TILE.rows() * (D + 4);
    float* queries = values + TILE.rows() * (D + 4);
    float* gradients = queries + N * (D + 4);
    float* probabilities = gradients + N * (D + 4);
    float* d_scores = probabilities + TILE.rows() * (N + 4);

    Work work(length, heads, key_value_heads, head_size, pairs, 1, false);
    bool vectors = can_pack<4>(qkv, head_size);
    bool result_vectors = can_pack<4>(d_result, head_size);
    int first_key = work.tile * TILE.rows();
    if (!has_part(first_key, N, chunk, work)) return;  // the rows of these keys need fewer blocks
    RowCursor<TILE.rows(), N> cursor(chunk, reach, work);
    int count = cursor.count(chunk, work);
    const float* delta = workspace;
    load_float_rows<D, TILE.rows()>(keys, work.keys(qkv), first_key, work, vectors);
    load_float_rows<D, TILE.rows()>(values, work.values(qkv), first_key, work, vectors);

    float d_key[R][D / 32][4] = {};
    float d_value[R][D / 32][4] = {};
    for (int left = count; left > 0; left--) {
        int first = first_key + cursor.tile * N;
        Rows<const float> query_rows = work.queries(qkv);
        Rows<const float> gradient_rows = work.results(d_result);
        query_rows.start += cursor.head * head_size;
        gradient_rows.start += cursor.head * head_size;
        __syncthreads();
        load_float_rows<D, N>(queries, query_rows, first, work, vectors);
        load_float_rows<D, N>(gradients, gradient_rows, first, work, result_vectors);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        float score[R][N / 8];
        float d_score[R][N / 8];
        multiply_rows<D>(score, keys, queries);
        multiply_rows<D>(d_score, values, gradients);
        float slope = alibi ? alibi_slope(work.first_head() + cursor.head, heads) : 0;
#pragma unroll
        for (int j = 0; j < N / 8; j++) {
            int position = first + thread_x() + 8 * j;
            bool exists = position < length;
            long long at = work.statistics(cursor.head) + position;
            float lse = exists ? log_sum_exp[at] * LOG2_E : 0;
            float row_delta = exists ? delta[at] : 0;
#pragma unroll
            for (int i = 0; i < R; i++) {
                int key = first_key + thread_y() + 16 * i;
                float x = scaled_score(score[i][j], scale * LOG2_E, slope, key, position);
                float p = exists && key <= position ? fast_exp2(fminf(x - lse, 0)) : 0;
                int place = (thread_y() + 16 * i) * (N + 4) + thread_x() + 8 * j;
                probabilities[place] = p;
                d_scores[place] = p * (d_score[i][j] - row_delta);
            }
        }
        __syncwarp();
        add_products<D, N>(d_value, probabilities, gradients);
        add_products<D, N>(d_key, d_scores, queries);
        if (left > 1) cursor.advance();
    }
#pragma unroll
    for (int i = 0; i < R; i++) {
        int position = first_key + thread_y() + 16 * i;
        if (position >= length) continue;
        float* to_key = work.keys(d_qkv).at(position);
        float* to_value = work.values(d_qkv).at(position);
        if (gridDim.y > 1) {
            to_key = PartialGradients(workspace + partials_at, pairs, work).keys(work, position);
            to_value = to_key + key_value_heads * head_size;
        }
        store_columns<D>(to_key, d_key[i], scale, head_size);
        store_columns<D>(to_value, d_value[i], 1, head_size);
    }
}
