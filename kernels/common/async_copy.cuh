// Copies from global to shared memory that run beside the computation (cp.async, compute capability 8.0).
//
//   cp_async_16(to, from, valid);   16 bytes, both addresses multiples of 16; zeros if !valid, and `from` is not read
//   cp_async_4(to, from, valid);    4 bytes, for what is not aligned to more
//   cp_async_commit();              closes a group of this thread's copies
//   cp_async_wait<N>();             until all but the N youngest groups of this thread have arrived
//
// Other threads see the data after a barrier that follows the wait. On the simulated device a copy happens in the wait
// that must have completed it, and in random order at any time from its start on, so that a missing wait shows.

#pragma once

#include "platform.cuh"

#ifdef __CUDACC__

__device__ __forceinline__ void cp_async_16(void* shared, const void* global, bool valid) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}

__device__ __forceinline__ void cp_async_4(void* shared, const void* global, bool valid) {
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    int bytes = valid ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}

__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

template <int N>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#else

inline void cp_async_16(void* shared, const void* global, bool valid) {
    emulation::async_copy_16(shared, global, valid);
}

// At once: it goes with copies of 16 bytes, which show a missing wait.
inline void cp_async_4(void* shared, const void* global, bool valid) {
    emulation::check_aligned(shared, 4, "cp.async to");
    emulation::check_shared(shared, 4, "cp.async to");
    if (valid) emulation::check_aligned(global, 4, "cp.async from");
    *static_cast<unsigned*>(shared) = valid ? *static_cast<const unsigned*>(global) : 0;
}

inline void cp_async_commit() { emulation::async_commit(); }

template <int N>
void cp_async_wait() {
    static_assert(N >= 0, "a number of groups");
    emulation::async_wait(N);
}

#endif
