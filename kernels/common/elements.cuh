// Work on each element of dense tensors, 16 bytes at a time where the addresses allow it.
//
// A block takes ELEMENTS<N> consecutive elements; thread t takes N neighbours at a time, next to those of thread t + 1.
// The operation is a struct with  template <int N> void apply(long long at, int offset) const:  elements at .. at+N-1,
// `offset` of them after the block's first. Vectors of N are taken only if `vectors` says that every address allows it;
// otherwise, and at the end of the tensor, N is 1.

#pragma once

#include <cstring>

#include "bf16.cuh"

constexpr int ELEMENT_THREADS = 256;
constexpr int PACKS_PER_THREAD = 4;

template <int N>
constexpr int ELEMENTS = ELEMENT_THREADS * PACKS_PER_THREAD * N;

template <int N, class Operation>
__device__ __forceinline__ void for_each_element(long long count, bool vectors, const Operation& operation) {
    long long begin = blockIdx.x * static_cast<long long>(ELEMENTS<N>);
    int here = static_cast<int>(min(static_cast<long long>(ELEMENTS<N>), count - begin));
    int packed = vectors ? here / N * N : 0;
#pragma unroll
    for (int i = 0; i < PACKS_PER_THREAD; i++) {
        int offset = (i * ELEMENT_THREADS + static_cast<int>(threadIdx.x)) * N;
        if (offset < packed) operation.template apply<N>(begin + offset, offset);
    }
    for (int offset = packed + static_cast<int>(threadIdx.x); offset < here; offset += ELEMENT_THREADS) {
        operation.template apply<1>(begin + offset, offset);
    }
}

// A vector's values as floats, and floats as a vector. Two bf16 share a register, which one instruction rounds into.
template <int N, class T>
__device__ __forceinline__ void unpack(const Pack<T, N>& pack, float* values) {
    if constexpr (sizeof(T) == 2 && N % 2 == 0) {
        unsigned pairs[N / 2];
        memcpy(pairs, &pack, sizeof pairs);
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            values[2 * i] = low_bf16(pairs[i]);
            values[2 * i + 1] = high_bf16(pairs[i]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = to_float(pack[i]);
    }
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> packed(const float* values) {
    Pack<T, N> pack;
    if constexpr (sizeof(T) == 2 && N % 2 == 0) {
        unsigned pairs[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) pairs[i] = pack_bf16(values[2 * i], values[2 * i + 1]);
        memcpy(&pack, pairs, sizeof pairs);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) pack[i] = from_float<T>(values[i]);
    }
    return pack;
}

// N values as floats: 16-byte accesses, one for N = 16 / sizeof(T), two where a neighbour's dtype is half as wide.
template <int N, class T>
__device__ __forceinline__ void load_floats(const T* from, float (&values)[N]) {
    constexpr int M = N < PACKED<T> ? N : PACKED<T>;
#pragma unroll
    for (int i = 0; i < N; i += M) unpack(load_pack<M>(from + i), values + i);
}

template <int N, class T>
__device__ __forceinline__ void store_floats(T* to, const float (&values)[N]) {
    constexpr int M = N < PACKED<T> ? N : PACKED<T>;
#pragma unroll
    for (int i = 0; i < N; i += M) store_pack<M>(to + i, packed<T, M>(values + i));
}

template <class T>
__device__ __forceinline__ bool aligned_16(const T* address) {
    return reinterpret_cast<uintptr_t>(address) % 16 == 0;
}

// Row and column of elements near a block's first one: a 64-bit division per block instead of one per element.
struct RowsOfBlock {
    long long row;
    unsigned column;
    unsigned columns;

    __device__ __forceinline__ RowsOfBlock(long long begin, int columns)
        : row(begin / columns), column(static_cast<unsigned>(begin % columns)), columns(columns) {}

    __device__ __forceinline__ long long row_of(int offset) const { return row + (column + offset) / columns; }
    __device__ __forceinline__ int column_of(int offset) const { return (column + offset) % columns; }
};
