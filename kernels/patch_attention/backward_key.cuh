// Backward in bf16, second half: the gradients of keys and values. A block has 16 or 32 keys and values per warp, and
// the query rows after them pass by, head by head, in a fixed order. Scores are computed transposed, keys as rows, so
// that P^T and dS^T come out of one mma as the left operand of the next, and nothing but the tiles goes through shared
// memory: dV = P^T dOut, dK = scale * dS^T Q.
//
// Where keys alone make too few blocks, several share the rows of a tile of keys. See partial_gradients.cuh.

#pragma once

#include "partial_gradients.cuh"
#include "softmax.cuh"
#include "tile.cuh"
#include "tuning.cuh"

// What goes with a stage of rows. It lies in shared memory, where it costs no registers.
template <int ROWS>
struct RowStatistics {
    float log_sum_exp[ROWS];
    float delta[ROWS];
    float slope;  // times log2(e), of the rows' head
    int after;    // positions from the tile's first key to the first of the rows
    int unused[2];
};

template <int D, bool WIDE = false>
struct BackwardKeyBlock {
    static constexpr KeyTile TILE = WIDE ? wide_backward_key_tile(D) : backward_key_tile(D);
    static constexpr int THREADS = TILE.threads();
    static constexpr int BLOCKS = TILE.blocks;
    static constexpr int STAGE = 2 * TILE.rows * D;  // elements: queries, then gradients of the output
    static constexpr int SHARED_BYTES = (2 * TILE.keys() * D + TILE.stages * STAGE) * 2 +
                                        TILE.stages * static_cast<int>(sizeof(RowStatistics<TILE.rows>));
    static_assert(SHARED_BYTES <= 99 * 1024, "a block of compute capability 8.6 has 99 KB");
    static_assert(2 * TILE.rows <= THREADS, "a thread copies one of a row's two numbers");

    using Cursor = RowCursor<TILE.keys(), TILE.rows>;

    static constexpr int M = TILE.keys_per_warp / 16;  // mma tiles of 16 keys
    static constexpr int STEPS = TILE.rows / 16;       // of 16 rows
    static constexpr int BLOCKS_OF_D = D / 16;
    static constexpr int KEPT_KEYS = TILE.keys_in_registers ? BLOCKS_OF_D : 1;
    static constexpr int KEPT_VALUES = TILE.values_in_registers ? BLOCKS_OF_D : 1;

    const Work& work;
    const float scale;  // times log2(e)
    bf16* const keys;
    bf16* const values;
    bf16* const stages;
    RowStatistics<TILE.rows>* const statistics;
    const Operands<D> operands;
    unsigned key[KEPT_KEYS][M][4];
    unsigned value[KEPT_VALUES][M][4];
    float d_key[M][D / 8][4];
    float d_value[M][D / 8][4];

    __device__ __forceinline__ BackwardKeyBlock(const Work& work, float scale, bf16* shared)
        : work(work),
          scale(scale),
          keys(shared),
          values(keys + TILE.keys() * D),
          stages(values + TILE.keys() * D),
          statistics(reinterpret_cast<RowStatistics<TILE.rows>*>(stages + TILE.stages * STAGE)) {}

    __device__ __forceinline__ int warp_key() const { return warp_index() * TILE.keys_per_warp; }
    __device__ __forceinline__ int first_key() const { return work.tile * TILE.keys(); }

    __device__ __forceinline__ void load_stage(int stage, const Cursor& cursor, const bf16* qkv,
                                               const bf16* d_result, const float* log_sum_exp, const float* delta,
                                               bool alibi, bool vectors, bool result_vectors) {
        bf16* to = stages + stage * STAGE;
        int first = first_key() + cursor.tile * TILE.rows;
        Rows<const bf16> queries = work.queries(qkv);
        Rows<const bf16> gradients = work.results(d_result);
        queries.start += cursor.head * work.head_size;
        gradients.start += cursor.head * work.head_size;
        load_rows<D, TILE.rows, THREADS>(to, queries, first, work, vectors);
        load_rows<D, TILE.rows, THREADS>(to + TILE.rows * D, gradients, first, work, result_vectors);
        RowStatistics<TILE.rows>& of = statistics[stage];
        int thread = thread_index_again();
        int row = thread % TILE.rows;
        long long at = work.statistics(cursor.head) + first + row;
        if (thread < TILE.rows) cp_async_4(&of.log_sum_exp[row], log_sum_exp + at, first + row < work.length);
        else if (thread < 2 * TILE.rows) cp_async_4(&of.delta[row], delta + at, first + row < work.length);
        if (thread == 0) {
            of.slope = alibi ? alibi_slope(work.first_head() + cursor.head, work.heads) : 0;
            of.after = cursor.tile * TILE.rows;
        }
    }

    __device__ __forceinline__ void read_operands(unsigned (&to)[M][4], const bf16* tile, int k) {
#pragma unroll
        for (int m = 0; m < M; m++) operands.rows(to[m], tile, warp_key() + 16 * m, k);
    }

    // One stage of rows. DIAGONAL: some of the rows may be earlier than some of the keys.
    template <bool DIAGONAL>
    __device__ __forceinline__ void attend(int stage) {
        const RowStatistics<TILE.rows>& of = statistics[stage];
        const bf16* queries = stages + stage * STAGE;
        const bf16* gradients = queries + TILE.rows * D;
#pragma unroll TILE.unrolled_steps
        for (int step = 0; step < STEPS; step++) {
            if (DIAGONAL && of.after + 16 * step + 15 < warp_key()) continue;
            float score[M][2][4] = {};
            multiply<TILE.keys_in_registers>(score, key, keys, queries, step);
            unsigned probability[M][4];
            exponentiate<DIAGONAL>(probability, score, of, step);
            float d_score[M][2][4] = {};
            multiply<TILE.values_in_registers>(d_score, value, values, gradients, step);
            unsigned d_probability[M][4];
            differentiate(d_probability, probability, d_score, of, step);
#pragma unroll
            for (int d = 0; d < BLOCKS_OF_D; d++) {
                unsigned right[2][2];
                operands.transposed(right, gradients, 16 * step, d);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(d_value[m][2 * d], probability[m], right[0]);
                    mma_m16n8k16(d_value[m][2 * d + 1], probability[m], right[1]);
                }
                operands.transposed(right, queries, 16 * step, d);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    mma_m16n8k16(d_key[m][2 * d], d_probability[m], right[0]);
                    mma_m16n8k16(d_key[m][2 * d + 1], d_probability[m], right[1]);
                }
            }
        }
    }

    // The warp's keys (or values) times 16 rows of queries (or gradients).
    template <bool KEPT>
    __device__ __forceinline__ void multiply(float (&product)[M][2][4], unsigned (&left)[KEPT ? BLOCKS_OF_D : 1][M][4],
                                             const bf16* tile, const bf16* rows, int step) {
#pragma unroll
        for (int k = 0; k < BLOCKS_OF_D; k++) {
            if constexpr (!KEPT) read_operands(left[0], tile, k);
            unsigned right[2][2];
            operands.columns(right, rows, 16 * step, k);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_m16n8k16(product[m][0], left[KEPT ? k : 0][m], right[0]);
                mma_m16n8k16(product[m][1], left[KEPT ? k : 0][m], right[1]);
            }
        }
    }

    // P from the scores. Rows beyond the sequence have queries, gradients and statistics 0: their dS is 0, and their P
    // meets gradients that are 0.
    template <bool DIAGONAL>
    __device__ __forceinline__ void exponentiate(unsigned (&probability)[M][4], float (&score)[M][2][4],
                                                 const RowStatistics<TILE.rows>& of, int step) {
        int lane_row = 16 * step + 2 * (lane_index() & 3);
        int lane_key = warp_key() + (lane_index() >> 2);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            Pack<float, 2> sums = load_pack<2>(of.log_sum_exp + lane_row + 8 * n);
#pragma unroll
            for (int e = 0; e < 2; e++) {
                int row = of.after + lane_row + 8 * n + e;
                float offset = fmaf(-of.slope, static_cast<float>(row), -LOG2_E * sums[e]);
#pragma unroll
                for (int r = 0; r < 2 * M; r++) {
                    int key = lane_key + 8 * r;
                    float& x = score[r / 2][n][2 * (r % 2) + e];
                    float bias = fmaf(of.slope, static_cast<float>(key), offset);
                    float p = fast_exp2(fminf(fmaf(x, scale, bias), 0));
                    x = !DIAGONAL || key <= row ? p : 0;
                }
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++) as_operand(probability[m], score[m][0], score[m][1]);
    }

    // dS = P (dP - delta), as the operand that P is.
    __device__ __forceinline__ void differentiate(unsigned (&d_probability)[M][4], const unsigned (&probability)[M][4],
                                                  const float (&d_score)[M][2][4],
                                                  const RowStatistics<TILE.rows>& of, int step) {
        const float* delta = of.delta + 16 * step + 2 * (lane_index() & 3);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            Pack<float, 2> deltas = load_pack<2>(delta + 8 * n);
#pragma unroll
            for (int r = 0; r < 2 * M; r++) {
                unsigned p = probability[r / 2][2 * n + r % 2];
                const float* dx = &d_score[r / 2][n][2 * (r % 2)];
                d_probability[r / 2][2 * n + r % 2] =
                    pack_bf16(low_bf16(p) * (dx[0] - deltas[0]), high_bf16(p) * (dx[1] - deltas[1]));
            }
        }
    }

    // Writes the gradients as bf16, by way of the warp's own part of the tiles of keys and values.
    __device__ __forceinline__ void finish(bf16* d_qkv, bool vectors) {
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            int place = warp_key() + 8 * r + (lane_index() >> 2);
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                int column = 8 * d + 2 * (lane_index() & 3);
                const float(&dk)[4] = d_key[r / 2][d];
                const float(&dv)[4] = d_value[r / 2][d];
                stage_result<D>(keys, place, column, dk[2 * (r % 2)], dk[2 * (r % 2) + 1]);
                stage_result<D>(values, place, column, dv[2 * (r % 2)], dv[2 * (r % 2) + 1]);
            }
        }
        __syncwarp();
        store_rows<D, TILE.keys_per_warp>(work.keys(d_qkv), keys, warp_key(), first_key(), work, vectors);
        store_rows<D, TILE.keys_per_warp>(work.values(d_qkv), values, warp_key(), first_key(), work, vectors);
    }

    // Writes the float32 sums of one of several blocks.
    __device__ __forceinline__ void finish(const PartialGradients& partial) {
#pragma unroll
        for (int r = 0; r < 2 * M; r++) {
            int position = first_key() + warp_key() + 8 * r + (lane_index() >> 2);
            if (position >= work.length) continue;
            float* to = partial.keys(work, position);
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int column = 8 * d + 2 * (lane_index() & 3) + e;
                    if (column >= work.head_size) continue;
                    to[column] = d_key[r / 2][d][2 * (r % 2) + e];
                    to[column + work.key_value_heads * work.head_size] = d_value[r / 2][d][2 * (r % 2) + e];
                }
            }
        }
    }
};

template <int D, bool WIDE = false>
__device__ __forceinline__ void attention_backward_key(const bf16* qkv, const float* log_sum_exp, const bf16* d_result,
                                                       float* workspace, bf16* d_qkv, long long partials_at,
                                                       long long chunk, int length, int heads, int key_value_heads,
                                                       int head_size, int pairs, const int* reach, int alibi,
                                                       float scale) {
    using Block = BackwardKeyBlock<D, WIDE>;
    constexpr KeyTile TILE = Block::TILE;
    DYNAMIC_SHARED(bf16, shared);
    Work work(length, heads, key_value_heads, head_size, pairs, 1, false);
    Block block(work, scale * LOG2_E, shared);
    bool vectors = can_pack<8>(qkv, head_size);
    bool result_vectors = can_pack<8>(d_result, head_size);

    if (!has_part(block.first_key(), TILE.rows, chunk, work)) return;  // the rows of these keys need fewer blocks
    typename Block::Cursor ahead(chunk, reach, work);
    int count = ahead.count(chunk, work);
    const float* delta = workspace;

    load_rows<D, TILE.keys(), Block::THREADS>(block.keys, work.keys(qkv), block.first_key(), work, vectors);
    load_rows<D, TILE.keys(), Block::THREADS>(block.values, work.values(qkv), block.first_key(), work, vectors);
#pragma unroll
    for (int i = 0; i < TILE.stages - 1; i++) {
        if (i < count) {
            block.load_stage(i, ahead, qkv, d_result, log_sum_exp, delta, alibi, vectors, result_vectors);
            if (i + 1 < count) ahead.advance();
        }
        cp_async_commit();
    }
#pragma unroll
    for (int m = 0; m < Block::M; m++) {
#pragma unroll
        for (int d = 0; d < D / 8; d++) {
#pragma unroll
            for (int e = 0; e < 4; e++) block.d_key[m][d][e] = block.d_value[m][d][e] = 0;
        }
    }
    cp_async_wait<TILE.stages - 2>();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < Block::BLOCKS_OF_D; k++) {
        if constexpr (TILE.keys_in_registers) block.read_operands(block.key[k], block.keys, k);
        if constexpr (TILE.values_in_registers) block.read_operands(block.value[k], block.values, k);
    }

    int stage = 0;
    for (int left = count; left > 0; left--) {
        cp_async_wait<TILE.stages - 2>();
        __syncthreads();  // this stage has arrived, and all warps are done with the one that is loaded next
        if (left >= TILE.stages) {
            block.load_stage((stage + TILE.stages - 1) % TILE.stages, ahead, qkv, d_result, log_sum_exp, delta, alibi,
                             vectors, result_vectors);
            if (left > TILE.stages) ahead.advance();
        }
        cp_async_commit();
        if (block.statistics[stage].after >= TILE.keys() - 1) {
            block.template attend<false>(stage);
        } else {
            block.template attend<true>(stage);
        }
        stage = stage + 1 == TILE.stages ? 0 : stage + 1;
    }
#pragma unroll
    for (int m = 0; m < Block::M; m++) {
#pragma unroll
        for (int d = 0; d < D / 8; d++) {
#pragma unroll
            for (int e = 0; e < 4; e++) block.d_key[m][d][e] *= scale;
        }
    }
    if (gridDim.y == 1) {
        block.finish(d_qkv, can_pack<8>(d_qkv, head_size));
    } else {
        block.finish(PartialGradients(workspace + partials_at, pairs, work));
    }
}
