// Forward in bf16. A block has the queries of its rows in registers, keys and values pass by in stages. Rows are
// (position, head) pairs, so that heads with common keys and values read them once.

#pragma once

#include "reach.cuh"
#include "softmax.cuh"
#include "tile.cuh"
#include "tuning.cuh"

template <int D, bool WIDE = false>
struct ForwardBlock {
    static constexpr RowTile TILE = WIDE ? wide_forward_tile(D) : forward_tile(D);
    static constexpr int THREADS = TILE.threads();
    static constexpr int BLOCKS = TILE.blocks;
    static constexpr int STAGE = 2 * TILE.keys * D;  // elements: keys, then values
    static constexpr int SHARED_BYTES = (TILE.rows() * D + TILE.stages * STAGE) * 2;
    static_assert(SHARED_BYTES <= 99 * 1024, "a block of compute capability 8.6 has 99 KB");

    static constexpr int M = TILE.rows_per_warp / 16;  // mma tiles of 16 rows
    static constexpr int STEPS = TILE.keys / 16;       // of 16 keys
    static constexpr int BLOCKS_OF_D = D / 16;
    static constexpr bool QUERIES_IN_REGISTERS = TILE.rows_per_warp * D <= 32 * 64;

    const Work& work;
    const float scale;
    bf16* const queries;
    bf16* const stages;
    const Operands<D> operands;
    unsigned query[QUERIES_IN_REGISTERS ? BLOCKS_OF_D : 1][M][4];
    Row row[2 * M];  // of the lane: 8 rows apart
    int warp_last;   // position of the warp's last row
    OnlineSoftmax<2 * M> softmax;
    float out[M][D / 8][4];

    __device__ __forceinline__ ForwardBlock(const Work& work, float scale, bf16* shared)
        : work(work), scale(scale), queries(shared), stages(shared + TILE.rows() * D) {}

    __device__ __forceinline__ const bf16* keys(int stage) const { return stages + stage * STAGE; }
    __device__ __forceinline__ const bf16* values(int stage) const { return stages + stage * STAGE + TILE.keys * D; }

    __device__ __forceinline__ void load_stage(int stage, int tile, const bf16* qkv, bool vectors) {
        bf16* to = stages + stage * STAGE;
        load_rows<D, TILE.keys, THREADS>(to, work.keys(qkv), tile * TILE.keys, work, vectors);
        load_rows<D, TILE.keys, THREADS>(to + TILE.keys * D, work.values(qkv), tile * TILE.keys, work, vectors);
    }

    __device__ __forceinline__ void read_queries(int to, int k) {
#pragma unroll
        for (int m = 0; m < M; m++) operands.rows(query[to][m], queries, first_row() + 16 * m, k);
    }

    __device__ __forceinline__ int first_row() const { return warp_index() * TILE.rows_per_warp; }

    // One stage of keys and values. DIAGONAL: some of the keys may be later than some of the rows.
    template <bool ALIBI, bool DIAGONAL>
    __device__ __forceinline__ void attend(int stage, int first_key) {
        float score[M][2 * STEPS][4] = {};
#pragma unroll
        for (int k = 0; k < BLOCKS_OF_D; k++) {
            if constexpr (!QUERIES_IN_REGISTERS) read_queries(0, k);
            auto& left = query[QUERIES_IN_REGISTERS ? k : 0];
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                if (DIAGONAL && first_key + 16 * step > warp_last) continue;
                unsigned key[2][2];
                operands.columns(key, keys(stage), 16 * step, k);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(score[m][2 * step], left[m], key[0]);
                    mma_m16n8k16(score[m][2 * step + 1], left[m], key[1]);
                }
            }
        }
        exponentiate<ALIBI, DIAGONAL>(score, first_key);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            if (DIAGONAL && first_key + 16 * step > warp_last) continue;
            unsigned probability[M][4];
#pragma unroll
            for (int m = 0; m < M; m++) as_operand(probability[m], score[m][2 * step], score[m][2 * step + 1]);
#pragma unroll
            for (int d = 0; d < BLOCKS_OF_D; d++) {
                unsigned value[2][2];
                operands.transposed(value, values(stage), 16 * step, d);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(out[m][2 * d], probability[m], value[0]);
                    mma_m16n8k16(out[m][2 * d + 1], probability[m], value[1]);
                }
            }
        }
    }

    // Turns products into probabilities relative to the row's largest score so far.
    template <bool ALIBI, bool DIAGONAL>
    __device__ __forceinline__ void exponentiate(float (&score)[M][2 * STEPS][4], int first_key) {
        int lane_key = first_key + 2 * (lane_index() & 3);
        float before[2 * M];
        bool higher = false;
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            float bias = ALIBI ? row[r].bias(lane_key) : 0;
            int seen = row[r].position - lane_key;  // the last key seen, relative to the lane's first
            float top = softmax.top[r];
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& x = score[r / 2][n][2 * (r % 2) + e];
                    x = ALIBI ? fmaf(x, scale, fmaf(row[r].slope, static_cast<float>(8 * n + e), bias)) : x * scale;
                    if (!DIAGONAL || 8 * n + e <= seen) top = fmaxf(top, x);
                }
            }
            before[r] = softmax.top[r];
            softmax.top[r] = quad_max(top);
            higher |= softmax.top[r] > before[r];
        }
        if (__any_sync(ALL_LANES, higher)) rescale(before);
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            int seen = row[r].position - lane_key;
            float sum = 0;
#pragma unroll
            for (int n = 0; n < 2 * STEPS; n++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& x = score[r / 2][n][2 * (r % 2) + e];
                    bool visible = !DIAGONAL || 8 * n + e <= seen;
                    x = visible ? fast_exp2(x - softmax.top[r]) : 0;
                    sum += x;
                }
            }
            softmax.sum[r] += sum;
        }
    }

    // Brings what was summed before to the new largest scores. Rare after the first tiles.
    __device__ __forceinline__ void rescale(const float (&before)[2 * M]) {
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            float factor = fast_exp2(before[r] - softmax.top[r]);
            softmax.sum[r] *= factor;
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                out[r / 2][d][2 * (r % 2)] *= factor;
                out[r / 2][d][2 * (r % 2) + 1] *= factor;
            }
        }
    }

    // Divides by the sums, and writes the warp's rows by way of its own part of the queries' tile.
    __device__ __forceinline__ void finish(const PackedRows& packed, bf16* result, float* log_sum_exp, bool vectors) {
        int group = lane_index() >> 2;
        int pair = lane_index() & 3;
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            float sum = quad_sum(softmax.sum[r]);
            float factor = 1 / sum;
            int place = first_row() + 8 * r + group;
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                const float(&x)[4] = out[r / 2][d];
                stage_result<D>(queries, place, 8 * d + 2 * pair, x[2 * (r % 2)] * factor, x[2 * (r % 2) + 1] * factor);
            }
            if (pair == 0 && row[r].position < work.length) {
                long long at = work.statistics(packed.head_of(place)) + row[r].position;
                log_sum_exp[at] = softmax.top[r] * LN_2 + logf(sum);
            }
        }
        __syncwarp();
        store_packed_rows<D, TILE.rows_per_warp>(work.results(result), queries, first_row(), packed, work, vectors);
    }
};

template <int D, bool ALIBI, bool WIDE = false>
__device__ __forceinline__ void attention_forward(const bf16* qkv, bf16* result, float* log_sum_exp, int length,
                                                  int heads, int key_value_heads, int head_size, int groups,
                                                  int split, const int* reach, int, float scale) {
    using Block = ForwardBlock<D, WIDE>;
    constexpr RowTile TILE = Block::TILE;
    DYNAMIC_SHARED(bf16, shared);
    Work work(length, heads, key_value_heads, head_size, groups, split, true);
    Block block(work, scale * LOG2_E, shared);
    PackedRows packed(work.tile, TILE.rows(), work.group);
    bool vectors = can_pack<8>(qkv, head_size);

    int last_position = min(packed.position_of(TILE.rows() - 1), length - 1);
    int last_tile = last_position / TILE.keys;
    int whole_tiles = (packed.position + 1) / TILE.keys;  // all of whose keys every row sees
    int first_tile = first_seen(reach, work, packed.position) / TILE.keys;

    load_packed_rows<D, TILE.rows(), Block::THREADS>(block.queries, work.queries(qkv), packed, work, vectors);
#pragma unroll
    for (int i = 0; i < TILE.stages - 1; i++) {
        if (last_tile - i >= first_tile) block.load_stage(i, last_tile - i, qkv, vectors);
        cp_async_commit();
    }
#pragma unroll
    for (int r = 0; r < 2 * Block::M; r++) {
        int place = block.first_row() + 8 * r + (lane_index() >> 2);
        int head = work.first_head() + packed.head_of(place);
        block.row[r] = {packed.position_of(place), ALIBI ? alibi_slope(head, heads) : 0};
#pragma unroll
        for (int d = 0; d < D / 8; d++) block.out[r / 2][d][2 * (r % 2)] = block.out[r / 2][d][2 * (r % 2) + 1] = 0;
    }
    block.warp_last = packed.position_of(block.first_row() + TILE.rows_per_warp - 1);
    cp_async_wait<TILE.stages - 2>();
    __syncthreads();
    if constexpr (Block::QUERIES_IN_REGISTERS) {
#pragma unroll
        for (int k = 0; k < Block::BLOCKS_OF_D; k++) block.read_queries(k, k);
    }

    int stage = 0;
    for (int tile = last_tile; tile >= first_tile; tile--) {
        cp_async_wait<TILE.stages - 2>();
        __syncthreads();  // this stage has arrived, and all warps are done with the one that is loaded next
        int next = tile - (TILE.stages - 1);
        if (next >= first_tile) block.load_stage((stage + TILE.stages - 1) % TILE.stages, next, qkv, vectors);
        cp_async_commit();
        if (tile < whole_tiles) {
            block.template attend<ALIBI, false>(stage, tile * TILE.keys);
        } else if (tile * TILE.keys <= block.warp_last) {
            block.template attend<ALIBI, true>(stage, tile * TILE.keys);
        }
        stage = stage + 1 == TILE.stages ? 0 : stage + 1;
    }
    block.finish(packed, result, log_sum_exp, can_pack<8>(result, head_size));
}
