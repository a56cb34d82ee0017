// Local attention of up to 16 positions in bf16: a warp holds a tile in registers and uses nothing else.
//
// Products are mma (m16n8k16). Queries, keys and values come in 16-byte loads that are operands at once, and results
// leave in 16-byte stores (row_fragments.cuh); what is summed over rows is turned in registers. No shared memory, no
// barrier: the warps of a block have nothing to do with each other.

#pragma once

#include "../common/row_fragments.cuh"
#include "tile.cuh"

namespace local_attention {

constexpr int WARPS = 4;

// A row's elements that lane t of its four lanes holds.
template <int CHUNKS>
struct RowPart {
    Chunk chunks[CHUNKS];

    __device__ __forceinline__ void load(const bf16* row, bool valid, int head_size) {
        int first = 8 * (lane_index() % 4);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            chunks[c] = load_chunk(row + CHUNKED * c + first, valid && CHUNKED * c + first < head_size);
        }
    }
};

// Chunk c of a row of results, unless it lies behind the row's end.
__device__ __forceinline__ void store_part(bf16* row, int c, int head_size, const Chunk& chunk) {
    int first = CHUNKED * c + 8 * (lane_index() % 4);
    if (first < head_size) store_chunk(row + first, chunk);
}

// Keys or values of a tile.
template <int KEYS, int CHUNKS>
struct KeyRows {
    RowPart<CHUNKS> rows[KEYS / 8];

    // Half an operand whose sum runs over keys, word `word` of chunk c: keys 8 * part to 8 * part + 7.
    __device__ __forceinline__ unsigned word(int part, int c, int word) const {
        return part < KEYS / 8 ? rows[part].chunks[c][word] : 0;
    }
    __device__ __forceinline__ void turn() {
#pragma unroll
        for (int part = 0; part < KEYS / 8; part++) {
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) rows[part].chunks[c] = turned(rows[part].chunks[c]);
        }
    }
};

// Rows g and g+8 of 16 rows of a tile.
struct RowPair {
    Row row[2];
    float slope[2];

    __device__ __forceinline__ RowPair(const Tile& tile, int first) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            row[half] = tile.row(first + lane_index() / 4 + 8 * half);
            slope[half] = tile.slope(row[half]);
        }
    }
};

// Scores in units of log2, -infinity where a row does not see a key. Value i of a part: row half i / 2, key column(i).
__device__ __forceinline__ int column(int part, int i) { return 8 * part + 2 * (lane_index() % 4) + i % 2; }

template <int KEYS, int CHUNKS>
__device__ __forceinline__ void scores(const RowPart<CHUNKS> (&q)[2], const KeyRows<KEYS, CHUNKS>& keys,
                                       const RowPair& pair, float scale, float (&s)[KEYS / 8][4]) {
#pragma unroll
    for (int part = 0; part < KEYS / 8; part++) {
#pragma unroll
        for (int i = 0; i < 4; i++) s[part][i] = 0;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            multiply_chunk(s[part], q[0].chunks[c], q[1].chunks[c], keys.rows[part].chunks[c]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const Row& row = pair.row[i / 2];
            int key = column(part, i);
            float biased = s[part][i] * scale - pair.slope[i / 2] * (row.position - key);
            s[part][i] = row.sees(key) ? biased : -INFINITY;
        }
    }
}

// Of [16, KEYS] values as mma leaves them, the operand A of a product whose sum runs over keys.
template <int KEYS>
__device__ __forceinline__ void as_left(const float (&p)[KEYS / 8][4], unsigned (&a)[4]) {
    a[0] = pack_bf16(p[0][0], p[0][1]);
    a[1] = pack_bf16(p[0][2], p[0][3]);
    a[2] = KEYS == 16 ? pack_bf16(p[KEYS / 8 - 1][0], p[KEYS / 8 - 1][1]) : 0;
    a[3] = KEYS == 16 ? pack_bf16(p[KEYS / 8 - 1][2], p[KEYS / 8 - 1][3]) : 0;
}

// [16, KEYS] x [KEYS, 32] for chunk c of turned rows: what row g (lo) and row g+8 (hi) get.
template <int KEYS, int CHUNKS>
__device__ __forceinline__ void multiply_rows(const unsigned (&a)[4], const KeyRows<KEYS, CHUNKS>& rows, int c,
                                              float scale_lo, float scale_hi, Chunk& lo, Chunk& hi) {
#pragma unroll
    for (int word = 0; word < 4; word++) {
        float d[4] = {0, 0, 0, 0};
        unsigned b[2] = {rows.word(0, c, word), rows.word(1, c, word)};
        mma_m16n8k16(d, a, b);
        lo[word] = pack_bf16(d[0] * scale_lo, d[1] * scale_lo);
        hi[word] = pack_bf16(d[2] * scale_hi, d[3] * scale_hi);
    }
}

template <int KEYS, int SIZE>
__device__ __forceinline__ void forward_warp(const bf16* qkv, bf16* out, float* lse, const Problem& problem) {
    constexpr int CHUNKS = SIZE / CHUNKED;
    long long block = blockIdx.x / problem.key_value_heads;
    Tile tile(problem, block * WARPS + warp_index(), blockIdx.x % problem.key_value_heads);
    if (tile.positions == 0) return;
    int g = lane_index() / 4;

    KeyRows<KEYS, CHUNKS> keys;
    KeyRows<KEYS, CHUNKS> values;
#pragma unroll
    for (int part = 0; part < KEYS / 8; part++) {
        int position = 8 * part + g;
        bool valid = position < tile.positions;
        keys.rows[part].load(tile.key(qkv, position), valid, problem.head_size);
        values.rows[part].load(tile.value(qkv, position), valid, problem.head_size);
    }
    RowPair pair(tile, 0);
    RowPart<CHUNKS> q[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        q[half].load(tile.query(qkv, pair.row[half]), pair.row[half].valid(), problem.head_size);
    }
    values.turn();

    for (int first = 0; first < tile.rows; first += 16) {
        float s[KEYS / 8][4];
        scores<KEYS, CHUNKS>(q, keys, pair, problem.scale * LOG2_E, s);
        RowPair now = pair;
        // The next rows are on their way while these are computed.
        if (first + 16 < tile.rows) {
            pair = RowPair(tile, first + 16);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                q[half].load(tile.query(qkv, pair.row[half]), pair.row[half].valid(), problem.head_size);
            }
        }
        float sum[2];
        float largest[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float m = -INFINITY;
#pragma unroll
            for (int part = 0; part < KEYS / 8; part++) m = max(m, max(s[part][2 * half], s[part][2 * half + 1]));
            largest[half] = quad_max(m);
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
        unsigned p[4];
        as_left<KEYS>(s, p);
        float inverse[2] = {fast_reciprocal(sum[0]), fast_reciprocal(sum[1])};
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            Chunk part[2];
            multiply_rows<KEYS, CHUNKS>(p, values, c, inverse[0], inverse[1], part[0], part[1]);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                if (now.row[half].valid()) {
                    store_part(tile.result(out, now.row[half]), c, problem.head_size, part[half]);
                }
            }
        }
        // Lane 0 of four writes row g's, lane 1 row g+8's.
        int half = lane_index() % 4;
        if (half < 2) {
            Row row = half == 0 ? now.row[0] : now.row[1];
            float value = half == 0 ? largest[0] + log2f(sum[0]) : largest[1] + log2f(sum[1]);
            if (row.valid()) *tile.statistic(lse, row) = value * LN_2;
        }
    }
}

// Sum over 16 rows of (turned row of p) x (row): the gradient of keys or values, [KEYS, SIZE], in float32. For 8 keys
// it is kept the other way round, [SIZE, KEYS], which fills the 16 rows of an mma.
template <int KEYS, int CHUNKS>
struct KeyGradient {
    float d[CHUNKS][KEYS == 16 ? 4 : 2][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int m = 0; m < (KEYS == 16 ? 4 : 2); m++) {
#pragma unroll
                for (int i = 0; i < 4; i++) d[c][m][i] = 0;
            }
        }
    }

    // p: the turned [16, KEYS] as as_left gives it, each register turned.
    __device__ __forceinline__ void add(const unsigned (&p)[4], const RowPart<CHUNKS> (&rows)[2]) {
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            Chunk lo = turned(rows[0].chunks[c]);
            Chunk hi = turned(rows[1].chunks[c]);
            if (KEYS == 16) {
                unsigned left[4] = {p[0], p[2], p[1], p[3]};
#pragma unroll
                for (int word = 0; word < 4; word++) {
                    unsigned right[2] = {lo[word], hi[word]};
                    mma_m16n8k16(d[c][KEYS == 16 ? word : 0], left, right);
                }
            } else {
                unsigned right[2] = {p[0], p[1]};
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    unsigned left[4] = {lo[2 * m], lo[2 * m + 1], hi[2 * m], hi[2 * m + 1]};
                    mma_m16n8k16(d[c][m], left, right);
                }
            }
        }
    }

    // Chunk c of key row 8 * part + g.
    __device__ __forceinline__ Chunk chunk(int part, int c) const {
        Chunk result;
#pragma unroll
        for (int word = 0; word < 4; word++) {
            if (KEYS == 16) {
                const float* of = d[c][KEYS == 16 ? word : 0];
                result[word] = pack_bf16(of[2 * part], of[2 * part + 1]);
            } else {
                const float* of = d[c][word / 2];
                result[word] = transpose_8x8(pack_bf16(of[2 * (word % 2)], of[2 * (word % 2) + 1]));
            }
        }
        return result;
    }
};

template <int KEYS, int SIZE>
__device__ __forceinline__ void backward_warp(const bf16* qkv, const bf16* out, const float* lse, const bf16* d_out,
                                              bf16* d_qkv, const Problem& problem) {
    constexpr int CHUNKS = SIZE / CHUNKED;
    long long block = blockIdx.x / problem.key_value_heads;
    Tile tile(problem, block * WARPS + warp_index(), blockIdx.x % problem.key_value_heads);
    if (tile.positions == 0) return;
    int g = lane_index() / 4;

    KeyRows<KEYS, CHUNKS> keys;
    KeyRows<KEYS, CHUNKS> values;
#pragma unroll
    for (int part = 0; part < KEYS / 8; part++) {
        int position = 8 * part + g;
        bool valid = position < tile.positions;
        keys.rows[part].load(tile.key(qkv, position), valid, problem.head_size);
        values.rows[part].load(tile.value(qkv, position), valid, problem.head_size);
    }
    KeyGradient<KEYS, CHUNKS> d_keys;
    KeyGradient<KEYS, CHUNKS> d_values;
    d_keys.clear();
    d_values.clear();

    for (int first = 0; first < tile.rows; first += 16) {
        RowPair pair(tile, first);
        RowPart<CHUNKS> q[2];
        RowPart<CHUNKS> d_result[2];
        float delta[2];
        float log_sum[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const Row& row = pair.row[half];
            q[half].load(tile.query(qkv, row), row.valid(), problem.head_size);
            d_result[half].load(tile.result(d_out, row), row.valid(), problem.head_size);
            RowPart<CHUNKS> result;
            result.load(tile.result(out, row), row.valid(), problem.head_size);
            log_sum[half] = row.valid() ? *tile.statistic(lse, row) * LOG2_E : 0;
            delta[half] = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) delta[half] += dot_chunk(result.chunks[c], d_result[half].chunks[c]);
            delta[half] = quad_sum(delta[half]);
        }
        float p[KEYS / 8][4];
        float d_score[KEYS / 8][4];
        scores<KEYS, CHUNKS>(q, keys, pair, problem.scale * LOG2_E, p);
#pragma unroll
        for (int part = 0; part < KEYS / 8; part++) {
#pragma unroll
            for (int i = 0; i < 4; i++) d_score[part][i] = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                multiply_chunk(d_score[part], d_result[0].chunks[c], d_result[1].chunks[c],
                               values.rows[part].chunks[c]);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                bool seen = pair.row[i / 2].sees(column(part, i));
                p[part][i] = seen ? probability(p[part][i] - log_sum[i / 2]) : 0;
                d_score[part][i] = seen ? p[part][i] * (d_score[part][i] - delta[i / 2]) * problem.scale : 0;
            }
        }
        unsigned turned_p[4];
        as_left<KEYS>(p, turned_p);
        unsigned left[4];
        as_left<KEYS>(d_score, left);
        unsigned turned_d[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            turned_p[i] = i < KEYS / 4 ? transpose_8x8(turned_p[i]) : 0;
            turned_d[i] = i < KEYS / 4 ? transpose_8x8(left[i]) : 0;
        }
        d_values.add(turned_p, d_result);
        d_keys.add(turned_d, q);
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            KeyRows<KEYS, 1> turned_keys;
#pragma unroll
            for (int k = 0; k < KEYS / 8; k++) turned_keys.rows[k].chunks[0] = turned(keys.rows[k].chunks[c]);
            Chunk part[2];
            multiply_rows<KEYS, 1>(left, turned_keys, 0, 1, 1, part[0], part[1]);
#pragma unroll
            for (int half = 0; half < 2; half++) {
                if (pair.row[half].valid()) {
                    store_part(tile.query(d_qkv, pair.row[half]), c, problem.head_size, part[half]);
                }
            }
        }
    }
#pragma unroll
    for (int part = 0; part < KEYS / 8; part++) {
        int position = 8 * part + g;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            Chunk key = d_keys.chunk(part, c);
            Chunk value = d_values.chunk(part, c);
            if (position < tile.positions) {
                store_part(tile.key(d_qkv, position), c, problem.head_size, key);
                store_part(tile.value(d_qkv, position), c, problem.head_size, value);
            }
        }
    }
}

}  // namespace local_attention
