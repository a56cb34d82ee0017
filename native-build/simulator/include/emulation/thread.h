// A thread of a running block, and what it may ask the runtime for.

#pragma once

#include <cstddef>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#define __restrict__ __restrict
#endif

// Shared memory of fixed size: blocks run on one operating-system thread each, so a copy per thread is one per running
// block. AddressSanitizer sees no borders between thread-local variables; there blocks run one after another.
#ifdef __SANITIZE_ADDRESS__
#define SHARED static __align__(16)
#else
#define SHARED static thread_local __align__(16)
#endif

#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::emulation::current->block->dynamic_shared)

#define threadIdx (::emulation::current->index)
#define blockIdx (::emulation::current->block->index)
#define blockDim (::emulation::current->block->size)
#define gridDim (::emulation::current->block->grid)

constexpr int warpSize = 32;

// Where a barrier or warp operation stands in the source: threads that meet must have come to the same one.
#define EMULATION_PLACE int line = __builtin_LINE(), const char* file = __builtin_FILE()

namespace emulation {

struct Block {
    uint3 index;
    dim3 size;
    dim3 grid;
    void* dynamic_shared;
    unsigned cluster_rank;
    unsigned cluster_size;
};

struct Thread {
    uint3 index;
    Block* block;
};

// The thread that runs, set at each switch. Of the two words, __thread is the one without a check for initialisation.
extern __thread Thread* current __attribute__((tls_model("initial-exec")));

// Something that lanes of a warp do together. The last lane to arrive calls `combine` with what each lane brought,
// indexed by lane (the bits of `lanes` say which are there), and combine writes the results to the same places.
struct Operation {
    const char* name;
    bool whole_warp;    // all 32 lanes must take part, and none may have exited
    void (*combine)(void* const* payloads, unsigned lanes);
};

void collective(unsigned mask, const Operation& operation, void* payload, int line, const char* file);

// Returns how many threads of the block came with `predicate`.
int barrier(bool predicate, int line, const char* file);

// A cluster's barrier: every thread arrives, and later waits until all threads of all its blocks have arrived.
void cluster_arrive(int line, const char* file);
void cluster_wait(int line, const char* file);

// Where `shared`, in this block's dynamic shared memory, is in that of another block of the cluster.
void* in_cluster(const void* shared, size_t bytes, unsigned rank, const char* what);

void async_copy_16(void* shared, const void* global, bool valid);
void async_commit();
void async_wait(int groups_left);

void misaligned(const void* address, size_t alignment, const char* what);
void check_shared(const void* address, size_t bytes, const char* what);

// A fault where the hardware has one.
inline void check_aligned(const void* address, size_t alignment, const char* what) {
    if (__builtin_expect(reinterpret_cast<unsigned long>(address) % alignment != 0, false)) {
        misaligned(address, alignment, what);
    }
}

// Stops the launch as a failed device-side assertion does.
[[noreturn]] void trap(const char* what, int line, const char* file);

}  // namespace emulation

inline void __syncthreads(EMULATION_PLACE) { emulation::barrier(false, line, file); }
inline int __syncthreads_count(int predicate, EMULATION_PLACE) { return emulation::barrier(predicate, line, file); }
inline int __syncthreads_or(int predicate, EMULATION_PLACE) { return emulation::barrier(predicate, line, file) > 0; }
inline int __syncthreads_and(int predicate, EMULATION_PLACE) {
    return emulation::barrier(!predicate, line, file) == 0;
}

[[noreturn]] inline void __trap(EMULATION_PLACE) { emulation::trap("__trap()", line, file); }
