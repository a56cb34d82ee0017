// The two compilers of this folder: nvcc makes PTX of it, g++ makes the kernels of the simulated device
// (docs/simulator.md). Every .cu includes this first; what else differs between the two lies in this folder, device
// and host form side by side.
//
//   SHARED float tile[32][33];         shared memory of fixed size, inside a function; 16-byte aligned
//   DYNAMIC_SHARED(float, scratch);    float* scratch = the launch's dynamic shared memory, 16-byte aligned
//   REGISTER_KERNEL(name);             after each entry point: the simulated device finds it by name

#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__

#include <cmath>

#define SHARED __shared__ __align__(16)
#define DYNAMIC_SHARED(type, name)                                     \
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
    type* const name = reinterpret_cast<type*>(dynamic_shared_memory)
#define REGISTER_KERNEL(name) static_assert(true, "the simulated device registers " #name)

#else

#include "device_emulation.h"

#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// Place of a thread of a one-dimensional block in its warp, and that warp's place in the block.
__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) & (WARP - 1); }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / WARP; }

// threadIdx.x, read where it stands: what is computed from it is not kept in registers across a loop.
__device__ __forceinline__ int thread_index_again() {
#ifdef __CUDACC__
    int thread;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
    return thread;
#else
    return static_cast<int>(threadIdx.x);
#endif
}

// The same for blockIdx.x.
__device__ __forceinline__ int block_index_again() {
#ifdef __CUDACC__
    int block;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
    return block;
#else
    return static_cast<int>(blockIdx.x);
#endif
}
