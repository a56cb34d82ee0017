// A linear layer for up to 8 rows, spread over the blocks of a cluster: each takes every size-th tile of 16 outputs, and
// its warps share the tiles and, where there are fewer tiles than warps, the sum over the inputs.
//
// Weights go from the second-level cache straight into the registers of mma, as its left operand: 16 outputs by 16
// inputs; the rows are the 8 columns of the right one (row_fragments.cuh). A weight is read once in the cluster. The
// first loads are started before the barrier behind which the activations are there, so that they are under way while
// the blocks wait for each other.

#pragma once

#include "../common/row_fragments.cuh"
#include "memory.cuh"

namespace local_decode {

// Read once: the first-level cache has better things to keep.
__device__ __forceinline__ Chunk stream_chunk(const bf16* from) {
#ifdef __CUDACC__
    Chunk chunk;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(chunk[0]), "=r"(chunk[1]), "=r"(chunk[2]), "=r"(chunk[3])
                 : "l"(__cvta_generic_to_global(from)));
    return chunk;
#else
    return load_chunk(from, true);
#endif
}

// How a product is divided: the same in every block, so that barriers agree. The sum over the inputs is divided as the
// shape says and not the cluster, so that a sequence's logits have the same bits in every batch and on every GPU.
struct Matrix {
    const bf16* weight;   // [outputs, inputs]
    int outputs;
    int inputs;           // a multiple of 32
    int tiles;            // of a block, at most
    int halvings;         // of the sum over the inputs, between 2^halvings warps

    __device__ __forceinline__ Matrix(const bf16* weight, int outputs, int inputs, int cluster)
        : weight(weight), outputs(outputs), inputs(inputs) {
        int all = (outputs + TILE - 1) / TILE;
        tiles = (all + cluster - 1) / cluster;
        int fewest = (all + LARGEST_CLUSTER - 1) / LARGEST_CLUSTER;
        halvings = 0;
        while (fewest << halvings <= WARPS_OF_BLOCK / 2 && 2 << halvings <= inputs / CHUNKED) halvings++;
    }

    // Warps that share a sum.
    __device__ __forceinline__ int parts() const { return 1 << halvings; }

    // Tiles that the warps of a block work on at the same time.
    __device__ __forceinline__ int at_once() const { return WARPS_OF_BLOCK >> halvings; }
};

// What a warp multiplies in a round, and the weights that are under way to it.
class Weights {
public:
    static constexpr int DEPTH = 3;   // chunks of 16 outputs by 32 inputs: 48 KB of a block

    // Starts the first loads.
    __device__ __forceinline__ void begin(const Matrix& matrix, int round) {
        int lane = lane_index();
        int local = round * matrix.at_once() + (warp_index() >> matrix.halvings);
        int part = warp_index() & (matrix.parts() - 1);
        int output = (local * static_cast<int>(cluster_size()) + static_cast<int>(cluster_rank())) * TILE + lane / 4;
        int chunks = matrix.inputs / CHUNKED;
        first = local < matrix.tiles ? part * chunks >> matrix.halvings : 0;
        end = local < matrix.tiles ? (part + 1) * chunks >> matrix.halvings : 0;
        // Beyond the last output the last one again; nobody asks for its sums.
        int lo = min(output, matrix.outputs - 1);
        row = matrix.weight + static_cast<long long>(lo) * matrix.inputs + 8 * (lane % 4);
        to_hi = (min(output + 8, matrix.outputs - 1) - lo) * matrix.inputs;
#pragma unroll
        for (int i = 0; i < DEPTH; i++) load(i, first + i);
    }

    // sum[0], sum[1]: output g of the tile in rows 2t and 2t + 1; sum[2], sum[3]: output g + 8.
    __device__ __forceinline__ void multiply(const bf16* activations, int stride, int rows, float (&sum)[4]) {
        int lane = lane_index();
        const bf16* from = activations + lane / 4 * stride + 8 * (lane % 4);
        bool valid = lane / 4 < rows;
        for (int chunk = first; chunk < end; chunk += DEPTH) {
#pragma unroll
            for (int i = 0; i < DEPTH; i++) {
                if (chunk + i >= end) break;
                multiply_chunk(sum, los[i], his[i], load_chunk(from + CHUNKED * (chunk + i), valid));
                load(i, chunk + i + DEPTH);
            }
        }
    }

private:
    __device__ __forceinline__ void load(int i, int chunk) {
        if (chunk >= end) return;
        los[i] = stream_chunk(row + CHUNKED * chunk);
        his[i] = stream_chunk(row + CHUNKED * chunk + to_hi);
    }

    Chunk los[DEPTH];   // rows g of the tile
    Chunk his[DEPTH];   // rows g + 8
    const bf16* row;
    int to_hi;
    int first;
    int end;
};

// Calls result(row, output, a, b) for each row and each two neighbouring outputs of this block, one of which may lie
// behind the last. The weights of round 0 have been begun; `activations` are there for all threads.
template <class Result>
__device__ __forceinline__ void product(const Matrix& matrix, Weights& weights, const bf16* activations, int stride,
                                        int rows, float* partial, Result result) {
    int lane = lane_index();
    int rank = static_cast<int>(cluster_rank());
    int cluster = static_cast<int>(cluster_size());
    for (int round = 0; round * matrix.at_once() < matrix.tiles; round++) {
        if (round > 0) {
            weights.begin(matrix, round);
            __syncthreads();   // the last round's sums have been read
        }
        float sum[4] = {0, 0, 0, 0};
        weights.multiply(activations, stride, rows, sum);
        float* own = partial + warp_index() * MOST_ROWS * PARTIAL_STRIDE + lane % 4 * 2 * PARTIAL_STRIDE + lane / 4;
        own[0] = sum[0];
        own[PARTIAL_STRIDE] = sum[1];
        own[8] = sum[2];
        own[PARTIAL_STRIDE + 8] = sum[3];
        __syncthreads();
        int here = min(matrix.at_once(), matrix.tiles - round * matrix.at_once());
        for (int i = static_cast<int>(threadIdx.x); i < here * (MOST_ROWS * TILE / 2); i += THREADS) {
            int slot = i / (MOST_ROWS * TILE / 2);
            int row = i / (TILE / 2) % MOST_ROWS;
            int column = i % (TILE / 2) * 2;
            int output = ((round * matrix.at_once() + slot) * cluster + rank) * TILE + column;
            if (row >= rows || output >= matrix.outputs) continue;
            const float* of = partial + ((slot << matrix.halvings) * MOST_ROWS + row) * PARTIAL_STRIDE + column;
            float2 total = make_float2(0, 0);
            for (int part = 0; part < matrix.parts(); part++) {
                float2 share = *reinterpret_cast<const float2*>(of + part * MOST_ROWS * PARTIAL_STRIDE);
                total.x += share.x;
                total.y += share.y;
            }
            result(row, output, total.x, total.y);
        }
    }
}

}  // namespace local_decode
