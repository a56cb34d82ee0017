// bfloat16 as a storage type: the upper half of a float32. Arithmetic is float32 everywhere.
//
// to_bf16 rounds to nearest, ties to even; every NaN becomes 0x7fff, as the hardware's cvt.rn.bf16.f32 makes it.
// Pack<T, N> is N values that one instruction loads or stores: the address must be a multiple of their size.

#pragma once

#include "platform.cuh"

struct bf16 {
    uint16_t bits;
};

__device__ __forceinline__ float to_float(bf16 value) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ bf16 to_bf16(float value) {
    bf16 result;
#ifdef __CUDACC__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
    unsigned bits = __float_as_uint(value);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    result.bits = nan ? 0x7fff : static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
    return result;
}

// Two values in a register, as mma takes them: lo in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float lo, float hi) {
#ifdef __CUDACC__
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(hi), "f"(lo));
    return result;
#else
    return static_cast<unsigned>(to_bf16(lo).bits) | static_cast<unsigned>(to_bf16(hi).bits) << 16;
#endif
}

__device__ __forceinline__ float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) { return value; }
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) { return to_bf16(value); }

__device__ __forceinline__ float load_float(const float* from, long long i) { return from[i]; }
__device__ __forceinline__ float load_float(const bf16* from, long long i) { return to_float(from[i]); }
__device__ __forceinline__ void store_float(float* to, long long i, float value) { to[i] = value; }
__device__ __forceinline__ void store_float(bf16* to, long long i, float value) { to[i] = to_bf16(value); }

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
    static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0, "one vector access moves at most 16 bytes");
    T values[N];

    __device__ __forceinline__ T& operator[](int i) { return values[i]; }
    __device__ __forceinline__ const T& operator[](int i) const { return values[i]; }
};

// How many values of T a 16-byte access moves.
template <class T>
constexpr int PACKED = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) {
#ifndef __CUDACC__
    emulation::check_aligned(from, sizeof(Pack<T, N>), "load_pack");
#endif
    return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <int N, class T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, N>& pack) {
#ifndef __CUDACC__
    emulation::check_aligned(to, sizeof(Pack<T, N>), "store_pack");
#endif
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Four values at a time, whatever they are stored as: 16 bytes of float, 8 of bf16.
template <class T>
__device__ __forceinline__ float4 load4(const T* from) {
    Pack<T, 4> pack = load_pack<4>(from);
    return make_float4(to_float(pack[0]), to_float(pack[1]), to_float(pack[2]), to_float(pack[3]));
}

template <class T>
__device__ __forceinline__ void store4(T* to, float4 value) {
    Pack<T, 4> pack;
    pack[0] = from_float<T>(value.x);
    pack[1] = from_float<T>(value.y);
    pack[2] = from_float<T>(value.z);
    pack[3] = from_float<T>(value.w);
    store_pack<4>(to, pack);
}

// Whether rows of `columns` values from `base` on can be read N at a time.
template <int N, class T>
__device__ __forceinline__ bool can_pack(const T* base, long long columns) {
    return reinterpret_cast<uintptr_t>(base) % (sizeof(T) * N) == 0 && columns % N == 0;
}
