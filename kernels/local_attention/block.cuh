// Local attention of 17 to 64 positions in bf16 (backward: also of 9 to 16 with long heads): a block holds a tile's
// keys and values in shared memory.
//
// Forward: a warp takes 16 rows at a time, all of whose scores lie in its registers. Backward: a warp owns 16 keys and
// keeps the sums of their gradients in registers, while rows pass in groups of 32; what a group's rows get, summed over
// all keys, follows after a barrier from the score gradients that the warps have put side by side. So every sum has
// one owner and one order.

#pragma once

#include "../common/async_copy.cuh"
#include "../common/row_fragments.cuh"
#include "tile.cuh"

namespace local_attention {

// Rows of SIZE bf16 values in shared memory. The 16-byte parts of a row are permuted, so that neither eight rows at the
// same part (ldmatrix) nor two rows at four neighbouring parts (16-byte loads of a quarter warp) share a bank.
template <int SIZE>
struct SharedRows {
    static constexpr int PARTS = SIZE / 8;
    bf16* base;

    __device__ __forceinline__ bf16* part(int row, int index) const {
        int mixed = SIZE == 32 ? index ^ (row >> 1 & 3) : index ^ ((row & 1) << 2 | (row >> 1 & 3));
        return base + 8 * (row * PARTS + mixed);
    }
    // Lane (g, t)'s share of elements 32c to 32c + 31 of row first + g.
    __device__ __forceinline__ Chunk chunk(int first, int c) const {
        int lane = lane_index();
        return load_pack<4>(reinterpret_cast<const unsigned*>(part(first + lane / 4, 4 * c + lane % 4)));
    }
    // Operands B of two products whose sum runs over rows `first` to `first` + 15: elements 8 * index to 8 * index + 7
    // in r[0], r[1], the next eight in r[2], r[3].
    __device__ __forceinline__ void turned(int first, int index, unsigned (&r)[4]) const {
        int lane = lane_index();
        ldmatrix_x4_trans(r, part(first + lane % 16, index + lane / 16));
    }
    __device__ __forceinline__ void store_pair(int row, int element, unsigned pair) const {
        *reinterpret_cast<unsigned*>(part(row, element / 8) + element % 8) = pair;
    }
};

// Copies rows between shared and global memory, THREADS threads together; address(row) says where in global memory, a
// null pointer that the row is padding.
template <int THREADS, int SIZE, class Address>
__device__ __forceinline__ void fetch_rows(const SharedRows<SIZE>& rows, int count, int head_size, Address address) {
    constexpr int PARTS = SharedRows<SIZE>::PARTS;
    for (int i = threadIdx.x; i < count * PARTS; i += THREADS) {
        const bf16* from = address(i / PARTS);
        int element = i % PARTS * 8;
        cp_async_16(rows.part(i / PARTS, i % PARTS), from + element, from != nullptr && element < head_size);
    }
}

template <int THREADS, int SIZE, class Address>
__device__ __forceinline__ void write_rows(const SharedRows<SIZE>& rows, int count, int head_size, Address address) {
    constexpr int PARTS = SharedRows<SIZE>::PARTS;
    for (int i = threadIdx.x; i < count * PARTS; i += THREADS) {
        bf16* to = address(i / PARTS);
        int element = i % PARTS * 8;
        if (to != nullptr && element < head_size) {
            store_chunk(to + element, load_pack<4>(reinterpret_cast<const unsigned*>(rows.part(i / PARTS, i % PARTS))));
        }
    }
}

constexpr int FORWARD_WARPS = 4;

template <int KEYS, int SIZE>
__device__ __forceinline__ void forward_block(const bf16* qkv, bf16* out, float* lse, const Problem& problem) {
    constexpr int CHUNKS = SIZE / CHUNKED;
    constexpr int THREADS = FORWARD_WARPS * WARP;
    DYNAMIC_SHARED(bf16, shared);
    SharedRows<SIZE> keys = {shared};
    SharedRows<SIZE> values = {shared + KEYS * SIZE};
    SharedRows<SIZE> results = {shared + (2 * KEYS + 16 * warp_index()) * SIZE};
    Tile tile(problem, blockIdx.x / problem.key_value_heads, blockIdx.x % problem.key_value_heads);
    int lane = lane_index();
    int g = lane / 4;
    int t = lane % 4;

    fetch_rows<THREADS>(keys, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.key(qkv, row) : nullptr; });
    fetch_rows<THREADS>(values, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.value(qkv, row) : nullptr; });
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();

    for (int first = 16 * warp_index(); first < tile.rows; first += 16 * FORWARD_WARPS) {
        Row row[2];
        Chunk q[2][CHUNKS];
        float slope[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            row[half] = tile.row(first + g + 8 * half);
            slope[half] = tile.slope(row[half]);
            const bf16* from = tile.query(qkv, row[half]);
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                int element = CHUNKED * c + 8 * t;
                q[half][c] = load_chunk(from + element, row[half].valid() && element < problem.head_size);
            }
        }
        int visible = tile.visible(first, 16);
        float s[KEYS / 8][4];
        float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int part = 0; part < KEYS / 8; part++) {
#pragma unroll
            for (int i = 0; i < 4; i++) s[part][i] = 0;
            if (8 * part < visible) {
#pragma unroll
                for (int c = 0; c < CHUNKS; c++) multiply_chunk(s[part], q[0][c], q[1][c], keys.chunk(8 * part, c));
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = 8 * part + 2 * t + i % 2;
                float biased = s[part][i] * (problem.scale * LOG2_E) - slope[i / 2] * (row[i / 2].position - key);
                s[part][i] = row[i / 2].sees(key) ? biased : -INFINITY;
                largest[i / 2] = max(largest[i / 2], s[part][i]);
            }
        }
        float sum[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            largest[half] = quad_max(largest[half]);
            float total = 0;
#pragma unroll
            for (int part = 0; part < KEYS / 8; part++) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[part][i] = fast_exp2(s[part][i] - largest[half]);
                    total += s[part][i];
                }
            }
            sum[half] = quad_sum(total);
        }
        unsigned p[KEYS / 16][4];
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++) {
            p[k][0] = pack_bf16(s[2 * k][0], s[2 * k][1]);
            p[k][1] = pack_bf16(s[2 * k][2], s[2 * k][3]);
            p[k][2] = pack_bf16(s[2 * k + 1][0], s[2 * k + 1][1]);
            p[k][3] = pack_bf16(s[2 * k + 1][2], s[2 * k + 1][3]);
        }
        float inverse[2] = {fast_reciprocal(sum[0]), fast_reciprocal(sum[1])};
        __syncwarp();  // the last rows' results have been read
#pragma unroll
        for (int part = 0; part < SIZE / 8; part += 2) {
            float d[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                if (16 * k < visible) {
                    unsigned r[4];
                    values.turned(16 * k, part, r);
                    unsigned low[2] = {r[0], r[1]};
                    unsigned high[2] = {r[2], r[3]};
                    mma_m16n8k16(d[0], p[k], low);
                    mma_m16n8k16(d[1], p[k], high);
                }
            }
#pragma unroll
            for (int n = 0; n < 2; n++) {
                int element = 8 * (part + n) + 2 * t;
                results.store_pair(g, element, pack_bf16(d[n][0] * inverse[0], d[n][1] * inverse[0]));
                results.store_pair(g + 8, element, pack_bf16(d[n][2] * inverse[1], d[n][3] * inverse[1]));
            }
        }
        __syncwarp();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            bf16* to = tile.result(out, row[half]);
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                int element = CHUNKED * c + 8 * t;
                if (row[half].valid() && element < problem.head_size) {
                    store_chunk(to + element, results.chunk(8 * half, c));
                }
            }
        }
        if (t < 2) {
            Row of = t == 0 ? row[0] : row[1];
            float value = t == 0 ? largest[0] + log2f(sum[0]) : largest[1] + log2f(sum[1]);
            if (of.valid()) *tile.statistic(lse, of) = value * LN_2;
        }
    }
}

// Rows that pass together in backward, and the length of a row of score gradients: a warp writes pairs and ldmatrix
// reads rows of 16 bytes, both without bank conflicts.
constexpr int GROUP = 32;
constexpr int GROUP_STRIDE = GROUP + 8;

// What a row of a group is, for the warps that see rows as columns.
struct RowFacts {
    int start;
    int position;
    float slope;
    float log_sum;
    float delta;
};

template <int KEYS, int SIZE>
__device__ __forceinline__ void backward_block(const bf16* qkv, const bf16* out, const float* lse, const bf16* d_out,
                                               bf16* d_qkv, const Problem& problem) {
    constexpr int CHUNKS = SIZE / CHUNKED;
    constexpr int WARPS_HERE = KEYS / 16;
    constexpr int THREADS = WARPS_HERE * WARP;
    DYNAMIC_SHARED(bf16, shared);
    SHARED RowFacts facts[GROUP];
    SharedRows<SIZE> keys = {shared};
    SharedRows<SIZE> values = {shared + KEYS * SIZE};
    SharedRows<SIZE> queries = {shared + 2 * KEYS * SIZE};
    SharedRows<SIZE> d_results = {shared + (2 * KEYS + GROUP) * SIZE};
    bf16* d_scores = shared + (2 * KEYS + 2 * GROUP) * SIZE;  // [KEYS, GROUP_STRIDE]
    Tile tile(problem, blockIdx.x / problem.key_value_heads, blockIdx.x % problem.key_value_heads);
    int lane = lane_index();
    int g = lane / 4;
    int t = lane % 4;
    int own = 16 * warp_index();  // the first key of this warp

    fetch_rows<THREADS>(keys, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.key(qkv, row) : nullptr; });
    fetch_rows<THREADS>(values, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.value(qkv, row) : nullptr; });

    float d_keys[SIZE / 8][4];
    float d_values[SIZE / 8][4];
#pragma unroll
    for (int part = 0; part < SIZE / 8; part++) {
#pragma unroll
        for (int i = 0; i < 4; i++) d_keys[part][i] = d_values[part][i] = 0;
    }

    for (int first = 0; first < tile.rows; first += GROUP) {
        fetch_rows<THREADS>(queries, GROUP, problem.head_size, [&](int index) {
            Row row = tile.row(first + index);
            return row.valid() ? tile.query(qkv, row) : nullptr;
        });
        fetch_rows<THREADS>(d_results, GROUP, problem.head_size, [&](int index) {
            Row row = tile.row(first + index);
            return row.valid() ? tile.result(d_out, row) : nullptr;
        });
        cp_async_commit();
        // Meanwhile delta, the sum of out * dOut: four lanes a row.
        for (int index = threadIdx.x / 4; index < GROUP; index += THREADS / 4) {
            Row row = tile.row(first + index);
            float delta = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                int element = CHUNKED * c + 8 * t;
                bool valid = row.valid() && element < problem.head_size;
                delta += dot_chunk(load_chunk(tile.result(out, row) + element, valid),
                                   load_chunk(tile.result(d_out, row) + element, valid));
            }
            delta = quad_sum(delta);
            if (t == 0) {
                facts[index] = {row.start, row.position, tile.slope(row),
                                row.valid() ? *tile.statistic(lse, row) * LOG2_E : 0, delta};
            }
        }
        cp_async_wait<0>();
        __syncthreads();

        bool seen = own < tile.visible(first, GROUP);
        if (seen) {
            // Scores and their gradients, [16 keys, 32 rows].
            float s[GROUP / 8][4];
            float d_s[GROUP / 8][4];
#pragma unroll
            for (int part = 0; part < GROUP / 8; part++) {
#pragma unroll
                for (int i = 0; i < 4; i++) s[part][i] = d_s[part][i] = 0;
            }
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                Chunk key_lo = keys.chunk(own, c);
                Chunk key_hi = keys.chunk(own + 8, c);
                Chunk value_lo = values.chunk(own, c);
                Chunk value_hi = values.chunk(own + 8, c);
#pragma unroll
                for (int part = 0; part < GROUP / 8; part++) {
                    multiply_chunk(s[part], key_lo, key_hi, queries.chunk(8 * part, c));
                    multiply_chunk(d_s[part], value_lo, value_hi, d_results.chunk(8 * part, c));
                }
            }
            unsigned p[GROUP / 8][2];
            unsigned d[GROUP / 8][2];
#pragma unroll
            for (int part = 0; part < GROUP / 8; part++) {
#pragma unroll
                for (int column = 0; column < 2; column++) {
                    RowFacts row = facts[8 * part + 2 * t + column];
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        int key = own + g + 8 * half;
                        float& score = s[part][2 * half + column];
                        float& gradient = d_s[part][2 * half + column];
                        float biased = score * (problem.scale * LOG2_E) - row.slope * (row.position - key);
                        bool sees = key >= row.start && key <= row.position;
                        score = sees ? probability(biased - row.log_sum) : 0;
                        gradient = sees ? score * (gradient - row.delta) * problem.scale : 0;
                    }
                }
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    p[part][half] = pack_bf16(s[part][2 * half], s[part][2 * half + 1]);
                    d[part][half] = pack_bf16(d_s[part][2 * half], d_s[part][2 * half + 1]);
                    *reinterpret_cast<unsigned*>(d_scores + (own + g + 8 * half) * GROUP_STRIDE + 8 * part + 2 * t) =
                        d[part][half];
                }
            }
#pragma unroll
            for (int k = 0; k < GROUP / 16; k++) {
                unsigned left_p[4] = {p[2 * k][0], p[2 * k][1], p[2 * k + 1][0], p[2 * k + 1][1]};
                unsigned left_d[4] = {d[2 * k][0], d[2 * k][1], d[2 * k + 1][0], d[2 * k + 1][1]};
#pragma unroll
                for (int part = 0; part < SIZE / 8; part += 2) {
                    unsigned r[4];
                    d_results.turned(16 * k, part, r);
                    unsigned low[2] = {r[0], r[1]};
                    unsigned high[2] = {r[2], r[3]};
                    mma_m16n8k16(d_values[part], left_p, low);
                    mma_m16n8k16(d_values[part + 1], left_p, high);
                    queries.turned(16 * k, part, r);
                    unsigned low_q[2] = {r[0], r[1]};
                    unsigned high_q[2] = {r[2], r[3]};
                    mma_m16n8k16(d_keys[part], left_d, low_q);
                    mma_m16n8k16(d_keys[part + 1], left_d, high_q);
                }
            }
        }
        __syncthreads();

        // Gradients of the queries, [32 rows, SIZE], into the place of the queries: warps share the 16 rows' halves.
        int visible = tile.visible(first, GROUP);
        int rows = 16 * (warp_index() % 2);
        constexpr int PARTS_HERE = SIZE / 8 / (WARPS_HERE / 2);
        int from = warp_index() / 2 * PARTS_HERE;
#pragma unroll 1
        for (int part = 0; part < PARTS_HERE; part += 2) {
            float sum[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                if (16 * k < visible) {
                    unsigned left[4];
                    int key = 16 * k + lane % 8 + 8 * (lane / 16);
                    ldmatrix_x4_trans(left, d_scores + key * GROUP_STRIDE + rows + 8 * (lane / 8 % 2));
                    unsigned r[4];
                    keys.turned(16 * k, from + part, r);
                    unsigned low[2] = {r[0], r[1]};
                    unsigned high[2] = {r[2], r[3]};
                    mma_m16n8k16(sum[0], left, low);
                    mma_m16n8k16(sum[1], left, high);
                }
            }
#pragma unroll
            for (int n = 0; n < 2; n++) {
                int element = 8 * (from + part + n) + 2 * t;
                queries.store_pair(rows + g, element, pack_bf16(sum[n][0], sum[n][1]));
                queries.store_pair(rows + g + 8, element, pack_bf16(sum[n][2], sum[n][3]));
            }
        }
        __syncthreads();
        write_rows<THREADS>(queries, GROUP, problem.head_size, [&](int index) {
            Row row = tile.row(first + index);
            return row.valid() ? tile.query(d_qkv, row) : nullptr;
        });
        __syncthreads();
    }

    // Keys and values have been read for the last time: their gradients take their place on the way out.
#pragma unroll
    for (int part = 0; part < SIZE / 8; part++) {
        int element = 8 * part + 2 * t;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = own + g + 8 * half;
            keys.store_pair(row, element, pack_bf16(d_keys[part][2 * half], d_keys[part][2 * half + 1]));
            values.store_pair(row, element, pack_bf16(d_values[part][2 * half], d_values[part][2 * half + 1]));
        }
    }
    __syncthreads();
    write_rows<THREADS>(keys, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.key(d_qkv, row) : nullptr; });
    write_rows<THREADS>(values, KEYS, problem.head_size,
                        [&](int row) { return row < tile.positions ? tile.value(d_qkv, row) : nullptr; });
}

}  // namespace local_attention
