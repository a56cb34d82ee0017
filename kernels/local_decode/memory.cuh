// Sizes of a launch, and what lies where in a block's shared memory: the same in every block of a cluster, so that each
// can write into the others'. LocalDecodeKernels (Java) adds up the same bytes.

#pragma once

#include "../common/mma.cuh"

namespace local_decode {

constexpr int THREADS = 512;
constexpr int WARPS_OF_BLOCK = THREADS / WARP;
constexpr int TILE = 16;          // outputs of a product that a warp computes at a time
constexpr int LARGEST_CLUSTER = 16;
constexpr int MOST_ROWS = 8;      // sequences of a cluster: the columns of an mma
constexpr int MOST_POSITIONS = 32;
constexpr int PARTIAL_STRIDE = 20;   // 4 lanes of a quad write rows apart, 8 quads columns: no bank twice

struct Sizes {
    int batch;
    int rows;         // sequences of a cluster
    int patch;
    int layers;
    int dim;          // a multiple of 32, as is heads * head_size
    int heads;
    int head_size;    // a multiple of 8
    int vocabulary;
    int sorted;       // a power of two, at least the vocabulary
    int alibi;

    __device__ __forceinline__ int width() const { return heads * head_size; }

    // Elements from a row of activations to the next: rows g and g + 1, which 8 lanes read 16 bytes of each at a time,
    // lie in other banks.
    static __device__ __forceinline__ int stride(int columns) { return (columns + 63) / 64 * 64 + 32; }
};

// Parameters that are no matrices, for a layer: 9 dim elements.
struct Vectors {
    const bf16* attention_norm;      // weight, then bias
    const bf16* feed_forward_norm;   // weight, then bias
    const bf16* expand_bias;
    const bf16* contract_bias;

    __device__ __forceinline__ Vectors(const bf16* at, int dim)
        : attention_norm(at), feed_forward_norm(at + 2 * dim), expand_bias(at + 4 * dim), contract_bias(at + 8 * dim) {}
};

struct Memory {
    float* partial;               // [warps, 8, PARTIAL_STRIDE]
    float* probabilities;         // [warps, MOST_POSITIONS]
    unsigned long long* choice;   // scratch of the sampling: 8 sorted + 12 V bytes
    float* logits;                // [ceil(rows / cluster), V] of the sequences that this block chooses for
    int* ids;                     // [8]: what the step sees
    bf16* vectors;                // [layers, 9 dim]
    bf16* head_bias;              // [V]
    bf16* x;                      // [rows, stride(dim)], the residual stream
    bf16* normed;                 // the same; the attention's result too
    bf16* queries;                // the same
    bf16* hidden;                 // [rows, stride(4 dim)]
    bf16* cache;                  // [layers, patch, rows, 2 head_size], keys then values

    __device__ __forceinline__ Memory(unsigned char* at, const Sizes& sizes, int cluster) {
        partial = take<float>(at, WARPS_OF_BLOCK * MOST_ROWS * PARTIAL_STRIDE);
        probabilities = take<float>(at, WARPS_OF_BLOCK * MOST_POSITIONS);
        choice = take<unsigned long long>(at, sizes.sorted + (3 * sizes.vocabulary + 1) / 2);
        logits = take<float>(at, (sizes.rows + cluster - 1) / cluster * sizes.vocabulary);
        ids = take<int>(at, MOST_ROWS);
        vectors = take<bf16>(at, sizes.layers * 9 * sizes.dim);
        head_bias = take<bf16>(at, sizes.vocabulary);
        x = take<bf16>(at, sizes.rows * Sizes::stride(sizes.dim));
        normed = take<bf16>(at, sizes.rows * Sizes::stride(sizes.dim));
        queries = take<bf16>(at, sizes.rows * Sizes::stride(sizes.dim));
        hidden = take<bf16>(at, sizes.rows * Sizes::stride(4 * sizes.dim));
        cache = take<bf16>(at, sizes.layers * sizes.patch * sizes.rows * 2 * sizes.head_size);
    }

private:
    // Each begins at a multiple of 16 bytes.
    template <class T>
    static __device__ __forceinline__ T* take(unsigned char*& at, int count) {
        T* begin = reinterpret_cast<T*>(at);
        at += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
        return begin;
    }
};

}  // namespace local_decode
