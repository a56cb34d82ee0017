// Backward in bf16, first half: the gradient of the queries, and delta = sum over columns of dOut * out, which the
// second half needs as well. Same rows and loop as forward: with the probabilities P, dP = dOut V^T and
// dS = P * (dP - delta), dQ = scale * dS K.

#pragma once

#include "reach.cuh"
#include "softmax.cuh"
#include "tile.cuh"
#include "tuning.cuh"

template <int D>
struct BackwardQueryBlock {
    static constexpr RowTile TILE = backward_query_tile(D);
    static constexpr int THREADS = TILE.threads();
    static constexpr int BLOCKS = TILE.blocks;
    static constexpr int STAGE = 2 * TILE.keys * D;  // elements: keys, then values
    static constexpr int SHARED_BYTES = (2 * TILE.rows() * D + TILE.stages * STAGE) * 2 + TILE.rows() * 4;
    static_assert(SHARED_BYTES <= 99 * 1024, "a block of compute capability 8.6 has 99 KB");

    static constexpr int M = TILE.rows_per_warp / 16;  // mma tiles of 16 rows
    static constexpr int STEPS = TILE.keys / 16;       // of 16 keys
    static constexpr int BLOCKS_OF_D = D / 16;

    struct BackwardRow : Row {
        float log_sum_exp;  // times log2(e)
        float delta;
    };

    const Work& work;
    const float scale;  // times log2(e)
    bf16* const queries;
    bf16* const gradients;
    bf16* const stages;
    float* const deltas;
    const Operands<D> operands;
    unsigned query[BLOCKS_OF_D][M][4];
    unsigned gradient[BLOCKS_OF_D][M][4];
    BackwardRow row[2 * M];  // of the lane: 8 rows apart
    int warp_last;           // position of the warp's last row
    float d_query[M][D / 8][4];

    __device__ __forceinline__ BackwardQueryBlock(const Work& work, float scale, bf16* shared)
        : work(work),
          scale(scale),
          queries(shared),
          gradients(queries + TILE.rows() * D),
          stages(gradients + TILE.rows() * D),
          deltas(reinterpret_cast<float*>(stages + TILE.stages * STAGE)) {}

    __device__ __forceinline__ const bf16* keys(int stage) const { return stages + stage * STAGE; }
    __device__ __forceinline__ const bf16* values(int stage) const { return stages + stage * STAGE + TILE.keys * D; }
    __device__ __forceinline__ int first_row() const { return warp_index() * TILE.rows_per_warp; }

    __device__ __forceinline__ void load_stage(int stage, int tile, const bf16* qkv, bool vectors) {
        bf16* to = stages + stage * STAGE;
        load_rows<D, TILE.keys, THREADS>(to, work.keys(qkv), tile * TILE.keys, work, vectors);
        load_rows<D, TILE.keys, THREADS>(to + TILE.keys * D, work.values(qkv), tile * TILE.keys, work, vectors);
    }

    // delta of the block's rows, from dOut's tile and the result in global memory.
    __device__ __forceinline__ void find_deltas(const PackedRows& packed, const bf16* result, float* delta,
                                                bool vectors) {
        constexpr int CHUNKS = D / 8;
        Rows<const bf16> rows = work.results(result);
#pragma unroll 4
        for (int i = static_cast<int>(threadIdx.x); i < TILE.rows() * CHUNKS; i += THREADS) {
            PackedChunk<D> chunk(i, rows.stride, packed, work);
            const bf16* from = rows.start + chunk.place;
            Pack<bf16, 8> outs = {};
            if (!vectors) {
                outs = gather_chunk(from, chunk.elements);
            } else if (chunk.elements > 0) {
                outs = load_pack<8>(from);
            }
            Pack<bf16, 8> gradients_of_outs = load_pack<8>(gradients + chunk.offset);
            float sum = 0;
#pragma unroll
            for (int e = 0; e < 8; e++) sum = fmaf(to_float(outs[e]), to_float(gradients_of_outs[e]), sum);
#pragma unroll
            for (int distance = CHUNKS / 2; distance > 0; distance /= 2) {
                sum += __shfl_xor_sync(ALL_LANES, sum, distance);
            }
            if (i % CHUNKS == 0) {
                int row = i / CHUNKS;
                int position = packed.position_of(row);
                deltas[row] = sum;
                if (position < work.length) delta[work.statistics(packed.head_of(row)) + position] = sum;
            }
        }
    }

    // One stage of keys and values. DIAGONAL: some of the keys may be later than some of the rows.
    template <bool DIAGONAL>
    __device__ __forceinline__ void attend(int stage, int first_key) {
#pragma unroll TILE.unrolled_steps
        for (int step = 0; step < STEPS; step++) {
            if (DIAGONAL && first_key + 16 * step > warp_last) continue;
            float score[M][2][4] = {};
            float d_score[M][2][4] = {};
#pragma unroll
            for (int k = 0; k < BLOCKS_OF_D; k++) {
                unsigned key[2][2];
                unsigned value[2][2];
                operands.columns(key, keys(stage), 16 * step, k);
                operands.columns(value, values(stage), 16 * step, k);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(score[m][0], query[k][m], key[0]);
                    mma_m16n8k16(score[m][1], query[k][m], key[1]);
                    mma_m16n8k16(d_score[m][0], gradient[k][m], value[0]);
                    mma_m16n8k16(d_score[m][1], gradient[k][m], value[1]);
                }
            }
            unsigned operand[M][4];
#pragma unroll
            for (int m = 0; m < M; m++) {
                differentiate<DIAGONAL>(m, score[m], d_score[m], first_key + 16 * step);
                as_operand(operand[m], d_score[m][0], d_score[m][1]);
            }
#pragma unroll
            for (int d = 0; d < BLOCKS_OF_D; d++) {
                unsigned key[2][2];
                operands.transposed(key, keys(stage), 16 * step, d);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(d_query[m][2 * d], operand[m], key[0]);
                    mma_m16n8k16(d_query[m][2 * d + 1], operand[m], key[1]);
                }
            }
        }
    }

    // dS in the place of dP, for 16 rows and 16 keys.
    template <bool DIAGONAL>
    __device__ __forceinline__ void differentiate(int m, const float (&score)[2][4], float (&d_score)[2][4],
                                                  int first_key) {
        int lane_key = first_key + 2 * (lane_index() & 3);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const BackwardRow& of = row[2 * m + r];
            float bias = of.bias(lane_key) - of.log_sum_exp;
            int seen = of.position - lane_key;
#pragma unroll
            for (int n = 0; n < 2; n++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float offset = fmaf(of.slope, static_cast<float>(8 * n + e), bias);
                    float& x = d_score[n][2 * r + e];
                    float p = fast_exp2(fminf(fmaf(score[n][2 * r + e], scale, offset), 0));
                    x = !DIAGONAL || 8 * n + e <= seen ? p * (x - of.delta) : 0;
                }
            }
        }
    }

    __device__ __forceinline__ void finish(const PackedRows& packed, bf16* d_qkv, bool vectors) {
        float factor = scale * LN_2;
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            int place = first_row() + 8 * r + (lane_index() >> 2);
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                const float(&x)[4] = d_query[r / 2][d];
                stage_result<D>(queries, place, 8 * d + 2 * (lane_index() & 3), x[2 * (r % 2)] * factor,
                                x[2 * (r % 2) + 1] * factor);
            }
        }
        __syncwarp();
        store_packed_rows<D, TILE.rows_per_warp>(work.queries(d_qkv), queries, first_row(), packed, work, vectors);
    }
};

template <int D>
__device__ __forceinline__ void attention_backward_query(const bf16* qkv, const bf16* result, const float* log_sum_exp,
                                                         const bf16* d_result, float* delta, bf16* d_qkv, int length,
                                                         int heads, int key_value_heads, int head_size, int groups,
                                                         int split, const int* reach, int alibi, float scale) {
    using Block = BackwardQueryBlock<D>;
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
    load_packed_rows<D, TILE.rows(), Block::THREADS>(block.gradients, work.results(d_result), packed, work,
                                                     can_pack<8>(d_result, head_size));
#pragma unroll
    for (int i = 0; i < TILE.stages - 1; i++) {
        if (last_tile - i >= first_tile) block.load_stage(i, last_tile - i, qkv, vectors);
        cp_async_commit();
    }
    cp_async_wait<TILE.stages - 2>();
    __syncthreads();
    block.find_deltas(packed, result, delta, can_pack<8>(result, head_size));
#pragma unroll
    for (int k = 0; k < Block::BLOCKS_OF_D; k++) {
#pragma unroll
        for (int m = 0; m < Block::M; m++) {
            block.operands.rows(block.query[k][m], block.queries, block.first_row() + 16 * m, k);
            block.operands.rows(block.gradient[k][m], block.gradients, block.first_row() + 16 * m, k);
        }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < 2 * Block::M; r++) {
        int place = block.first_row() + 8 * r + (lane_index() >> 2);
        int head = packed.head_of(place);
        auto& row = block.row[r];
        row.position = packed.position_of(place);
        row.slope = alibi ? alibi_slope(work.first_head() + head, heads) : 0;
        row.log_sum_exp = row.position < length ? log_sum_exp[work.statistics(head) + row.position] * LOG2_E : 0;
        row.delta = block.deltas[place];
#pragma unroll
        for (int d = 0; d < D / 8; d++) {
            block.d_query[r / 2][d][2 * (r % 2)] = block.d_query[r / 2][d][2 * (r % 2) + 1] = 0;
        }
    }
    block.warp_last = packed.position_of(block.first_row() + TILE.rows_per_warp - 1);

    int stage = 0;
    for (int tile = last_tile; tile >= first_tile; tile--) {
        cp_async_wait<TILE.stages - 2>();
        __syncthreads();  // this stage has arrived, and all warps are done with the one that is loaded next
        int next = tile - (TILE.stages - 1);
        if (next >= first_tile) block.load_stage((stage + TILE.stages - 1) % TILE.stages, next, qkv, vectors);
        cp_async_commit();
        if (tile < whole_tiles) {
            block.template attend<false>(stage, tile * TILE.keys);
        } else if (tile * TILE.keys <= block.warp_last) {
            block.template attend<true>(stage, tile * TILE.keys);
        }
        stage = stage + 1 == TILE.stages ? 0 : stage + 1;
    }
    block.finish(packed, d_qkv, can_pack<8>(d_qkv, head_size));
}
