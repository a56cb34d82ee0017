// What kernels share that carry a tile of rows through a whole layer of the model.
//
// A block of LAYER_WARPS warps has LAYER_ROWS rows. Products [LAYER_ROWS, N] are divided into 4 x 2 parts, one for a
// warp: 32 rows, two tiles of mma, and half the columns. A warp reads 1 KB of the left operand and N / 2 columns of the
// right one for each step of 16, so half the columns are better than all of half as many rows.

#pragma once

#include "async_copy.cuh"
#include "elements.cuh"
#include "quad_transpose.cuh"
#include "reduce.cuh"
#include "swizzled_tile.cuh"

constexpr int LAYER_ROWS = 128;
constexpr int LAYER_WARPS = 8;
constexpr int LAYER_THREADS = LAYER_WARPS * WARP;
constexpr int MOST_SHARED_BYTES = 227 * 1024;  // of a block, compute capability 9.0

// A thread's place in the products of one step. Made anew for each step, so that no addresses are kept in registers
// through all of them.
struct Part {
    int lane;
    int row;   // the first of its warp's 32
    int side;  // which half of the columns is the warp's

    __device__ __forceinline__ Part() {
        int thread = thread_index_again();
        lane = thread % WARP;
        row = thread / (2 * WARP) * 32;
        side = thread / WARP % 2;
    }

    // The lane's rows are four, 8 apart, its columns of each result [16, 8] two neighbours.
    __device__ __forceinline__ int lane_row(int r) const { return row + 8 * r + lane / 4; }
    __device__ __forceinline__ int pair() const { return 2 * (lane % 4); }

    // The pair in a tile whose rows have D elements.
    template <int D>
    __device__ __forceinline__ unsigned& in_tile(bf16* tile, int r, int chunk) const {
        return *reinterpret_cast<unsigned*>(tile + chunk_offset<D>(lane_row(r), chunk) + pair());
    }

    // Operands A of the warp's rows.
    template <int D>
    __device__ __forceinline__ void left(const Operands<D>& operands, unsigned (&a)[2][4], const bf16* tile,
                                         int block) const {
#pragma unroll
        for (int m = 0; m < 2; m++) operands.rows(a[m], tile, row + 16 * m, block);
    }
};

// The block's rows. Made anew where they are needed, too.
struct BlockRows {
    long long first;
    int valid;  // how many there are

    __device__ __forceinline__ explicit BlockRows(long long rows) {
        first = block_index_again() * static_cast<long long>(LAYER_ROWS);
        valid = static_cast<int>(min(static_cast<long long>(LAYER_ROWS), rows - first));
    }
};

// The block's threads copy a tile of ROWS rows of D elements, `stride` apart in global memory; from row `valid` on they
// become 0.
template <int D, int ROWS>
__device__ __forceinline__ void fetch_tile(bf16* tile, const bf16* from, long long stride, int valid) {
    constexpr int CHUNKS = D / 8;
    constexpr int AT_ONCE = LAYER_THREADS / CHUNKS;
    static_assert(ROWS % AT_ONCE == 0, "every thread copies as many chunks");
    int thread = thread_index_again();
    int row = thread / CHUNKS;
    int chunk = thread % CHUNKS;
    from += row * stride + 8 * chunk;
#pragma unroll
    for (int i = 0; i < ROWS; i += AT_ONCE) {
        cp_async_16(tile + chunk_offset<D>(row + i, chunk), from, row + i < valid);
        from += AT_ONCE * stride;
    }
}

// The block's threads write the tile's first `valid` rows, dense in global memory.
template <int D>
__device__ __forceinline__ void write_tile(bf16* to, const bf16* tile, int valid) {
    constexpr int CHUNKS = D / 8;
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < LAYER_ROWS * CHUNKS; i += LAYER_THREADS) {
        int row = i / CHUNKS;
        int chunk = i % CHUNKS;
        if (row < valid) store_pack<8>(to + row * D + 8 * chunk, load_pack<8>(tile + chunk_offset<D>(row, chunk)));
    }
}

// Four neighbouring pairs of a row of results, as the four lanes of the row hold them, to 64 bytes of global memory.
__device__ __forceinline__ void store_quad(bf16* row, unsigned (&words)[4], int lane, bool valid) {
    quad_transpose(words, lane);
    Pack<unsigned, 4> chunk = {{words[0], words[1], words[2], words[3]}};
    if (valid) store_pack<4>(reinterpret_cast<unsigned*>(row + 8 * (lane % 4)), chunk);
}

// The other way round: 64 bytes of a row, 0 if not valid; turned, they are pairs beside the results of four products.
__device__ __forceinline__ void begin_load_quad(const bf16* row, unsigned (&words)[4], int lane, bool valid) {
    Pack<unsigned, 4> chunk = {{0, 0, 0, 0}};
    if (valid) chunk = load_pack<4>(reinterpret_cast<const unsigned*>(row + 8 * (lane % 4)));
#pragma unroll
    for (int i = 0; i < 4; i++) words[i] = chunk[i];
}

__device__ __forceinline__ void load_quad(const bf16* row, unsigned (&words)[4], int lane, bool valid) {
    begin_load_quad(row, words, lane, valid);
    quad_transpose(words, lane);
}

template <int N>
__device__ __forceinline__ void clear(float (&results)[2][N][4]) {
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int n = 0; n < N; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) results[m][n][i] = 0;
        }
    }
}

// Results begin as a bias: the lane's columns are 8n + 2t and the next.
template <int N>
__device__ __forceinline__ void begin_with_bias(float (&results)[2][N][4], const bf16* bias, const Part& part) {
#pragma unroll
    for (int n = 0; n < N; n++) {
        unsigned pair = *reinterpret_cast<const unsigned*>(bias + 8 * n + part.pair());
#pragma unroll
        for (int m = 0; m < 2; m++) {
            results[m][n][0] = results[m][n][2] = low_bf16(pair);
            results[m][n][1] = results[m][n][3] = high_bf16(pair);
        }
    }
}

// Adds a step of 16 of the product to 16 columns of the part.
template <int N>
__device__ __forceinline__ void multiply(float (&results)[2][N][4], int columns, const unsigned (&left)[2][4],
                                         const unsigned (&right)[2][2]) {
#pragma unroll
    for (int m = 0; m < 2; m++) {
        mma_m16n8k16(results[m][2 * columns], left[m], right[0]);
        mma_m16n8k16(results[m][2 * columns + 1], left[m], right[1]);
    }
}

// Sums over the tile's rows of eight columns, exact products with 1 and float32 sums. Lanes 0 to 3 get those of columns
// 8 * chunk + 2t and the next.
template <int D>
__device__ __forceinline__ float2 sum_columns(const bf16* tile, int chunk) {
    constexpr unsigned ONES = 0x3f803f80u;
    const unsigned left[4] = {ONES, ONES, ONES, ONES};
    float sums[4] = {0, 0, 0, 0};
#pragma unroll
    for (int row = 0; row < LAYER_ROWS; row += 32) {
        unsigned r[4];
        ldmatrix_x4_trans(r, tile + chunk_offset<D>(row + lane_index(), chunk));
        const unsigned first[2] = {r[0], r[1]};
        const unsigned second[2] = {r[2], r[3]};
        mma_m16n8k16(sums, left, first);
        mma_m16n8k16(sums, left, second);
    }
    return make_float2(sums[0], sums[1]);
}

// The same for all columns, a warp after the other taking the next eight.
template <int D>
__device__ __forceinline__ void sum_all_columns(const bf16* tile, float* sums) {
    for (int chunk = warp_index(); chunk < D / 8; chunk += LAYER_WARPS) {
        float2 pair = sum_columns<D>(tile, chunk);
        if (lane_index() < 4) {
            sums[8 * chunk + 2 * lane_index()] = pair.x;
            sums[8 * chunk + 2 * lane_index() + 1] = pair.y;
        }
    }
}
