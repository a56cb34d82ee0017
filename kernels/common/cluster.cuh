// Clusters: up to 16 blocks, neighbours along x, that run at the same time and write into each other's shared memory
// (compute capability 9.0; PTX ISA, barrier.cluster, mapa, st.shared::cluster).
//
//   cluster_rank(), cluster_size()     this block's place among them
//   cluster_arrive(); cluster_wait();  a barrier in two halves, which every thread of every block calls in turn. Between
//                                      them there is time for what does not depend on the others. What was written
//                                      before the first half is seen after the second, in shared and global memory
//   store_in_block(own, rank, value);  writes to where `own`, in this block's dynamic shared memory, is in that of block
//                                      `rank`. A barrier must stand between the block's beginning and the first write,
//                                      and between the last write and its end
//
// Compiled for an older GPU, or launched without, a cluster is one block.

#pragma once

#include "platform.cuh"

#if !defined(__CUDACC__)

inline unsigned cluster_rank() { return emulation::current->block->cluster_rank; }
inline unsigned cluster_size() { return emulation::current->block->cluster_size; }
inline void cluster_arrive(EMULATION_PLACE) { emulation::cluster_arrive(line, file); }
inline void cluster_wait(EMULATION_PLACE) { emulation::cluster_wait(line, file); }

inline void store_in_block(unsigned* own, unsigned rank, unsigned value) {
    emulation::check_aligned(own, sizeof value, "a store");
    *static_cast<unsigned*>(emulation::in_cluster(own, sizeof value, rank, "a store")) = value;
}

#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ unsigned cluster_size() {
    unsigned size;
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
}

__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

__device__ __forceinline__ void store_in_block(unsigned* own, unsigned rank, unsigned value) {
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(there)
        : "r"(static_cast<unsigned>(__cvta_generic_to_shared(own))), "r"(rank));
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(value) : "memory");
}

#else

__device__ __forceinline__ unsigned cluster_rank() { return 0; }
__device__ __forceinline__ unsigned cluster_size() { return 1; }
__device__ __forceinline__ void cluster_arrive() {}
__device__ __forceinline__ void cluster_wait() { __syncthreads(); }
__device__ __forceinline__ void store_in_block(unsigned* own, unsigned, unsigned value) { *own = value; }

#endif

// To the same place in every block of the cluster. Each begins with another one, so that they do not all wait for the
// same.
__device__ __forceinline__ void store_in_all_blocks(unsigned* own, unsigned value) {
    unsigned size = cluster_size();
    unsigned to = cluster_rank();
    for (unsigned i = 0; i < size; i++) {
        store_in_block(own, to, value);
        to = to + 1 == size ? 0 : to + 1;
    }
}
