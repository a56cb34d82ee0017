// Operands of mma straight from rows in memory, 16 bytes a lane.
//
// A sum over k does not mind in which order k runs, if both factors agree. So lane (g, t) (see mma.cuh) takes eight
// neighbours of row g, elements 32c + 8t to 32c + 8t + 7, as one 16-byte load: a Chunk, which is its share of two
// steps of 16. In words w of a chunk, step 0 has w[0] and w[1], step 1 has w[2] and w[3]:
//
//   A: rows g (lo) and g+8 (hi)     a = {lo.w[2s], hi.w[2s], lo.w[2s+1], hi.w[2s+1]}
//   B: row n = g of B transposed    b = {w[2s], w[2s+1]}
//
// Eight rows of 64 bytes a load: whole sectors, nothing through shared memory. The other way round, where the sum runs
// over rows, word r of the chunks of eight rows is an 8x8 matrix whose column n is element 8(n/2) + 2r + n%2. Turned
// (transpose.cuh), it is half an operand; and of a product with such columns a lane holds elements 8t + 2r and
// 8t + 2r + 1 of its row, so that the four products over r are a chunk again, which one 16-byte store writes.

#pragma once

#include "mma.cuh"
#include "reduce.cuh"
#include "transpose.cuh"

using Chunk = Pack<unsigned, 4>;

// Elements that the four lanes of a row take at a time.
constexpr int CHUNKED = 32;

__device__ __forceinline__ Chunk load_chunk(const bf16* from, bool valid) {
    Chunk chunk = {{0, 0, 0, 0}};
    if (valid) chunk = load_pack<4>(reinterpret_cast<const unsigned*>(from));
    return chunk;
}

// To global memory. Spelled out, because nvcc makes four stores of it where it loses sight of the alignment.
__device__ __forceinline__ void store_chunk(bf16* to, const Chunk& chunk) {
#ifdef __CUDACC__
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(chunk[0]),
                 "r"(chunk[1]), "r"(chunk[2]), "r"(chunk[3])
                 : "memory");
#else
    store_pack<4>(reinterpret_cast<unsigned*>(to), chunk);
#endif
}

// d += A B over the 32 elements of a chunk.
__device__ __forceinline__ void multiply_chunk(float (&d)[4], const Chunk& lo, const Chunk& hi, const Chunk& b) {
#pragma unroll
    for (int step = 0; step < 2; step++) {
        unsigned left[4] = {lo[2 * step], hi[2 * step], lo[2 * step + 1], hi[2 * step + 1]};
        unsigned right[2] = {b[2 * step], b[2 * step + 1]};
        mma_m16n8k16(d, left, right);
    }
}

__device__ __forceinline__ Chunk turned(const Chunk& chunk) {
    Chunk result;
#pragma unroll
    for (int word = 0; word < 4; word++) result[word] = transpose_8x8(chunk[word]);
    return result;
}

// Sum of the products of eight bf16 values.
__device__ __forceinline__ float dot_chunk(const Chunk& a, const Chunk& b) {
    float sum = 0;
#pragma unroll
    for (int word = 0; word < 4; word++) {
        sum = __fmaf_rn(low_bf16(a[word]), low_bf16(b[word]), sum);
        sum = __fmaf_rn(high_bf16(a[word]), high_bf16(b[word]), sum);
    }
    return sum;
}
