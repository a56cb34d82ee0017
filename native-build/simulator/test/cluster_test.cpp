// Clusters: blocks that meet, and write into each other's shared memory.

#include <vector>

#include "common/cluster.cuh"
#include "common/platform.cuh"
#include "test.h"

using emulation::LaunchShape;
using test::Setting;

// Values go around the cluster: each block adds its rank to what it got and sends that on.
extern "C" __global__ void test_ring(int* out, int rounds) {
    DYNAMIC_SHARED(unsigned, values);    // [2, threads]: what was received, what arrives
    unsigned i = threadIdx.x;
    unsigned n = blockDim.x;
    values[i] = i;
    cluster_arrive();
    cluster_wait();
    for (int round = 0; round < rounds; round++) {
        unsigned next = (cluster_rank() + 1) % cluster_size();
        store_in_block(values + (round + 1) % 2 * n + i, next, values[round % 2 * n + i] + cluster_rank());
        cluster_arrive();
        cluster_wait();
    }
    out[blockIdx.x * n + i] = static_cast<int>(values[rounds % 2 * n + i]);
}
REGISTER_KERNEL(test_ring);

TEST(blocksOfAClusterSendEachOtherValues) {
    for (const char* schedule : {"ordered", "random:1", "random:2", "random:3"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        for (unsigned cluster : {1u, 2u, 5u, 16u}) {
            constexpr unsigned N = 33;
            std::vector<int> out(3 * cluster * N);
            int rounds = 7;
            emulation::launch(test_ring, LaunchShape{3 * cluster, N, 2 * N * sizeof(unsigned), cluster}, out.data(),
                              rounds);
            for (unsigned i = 0; i < out.size(); i++) {
                int expected = static_cast<int>(i % N);
                for (int round = 1; round <= rounds; round++) {
                    expected += static_cast<int>((i / N + 16 * cluster - static_cast<unsigned>(round)) % cluster);
                }
                CHECK_EQUAL(out[i], expected);
            }
        }
    }
}

// Without a second buffer a block may overwrite what another one has not read yet.
extern "C" __global__ void test_one_buffer(int* out) {
    DYNAMIC_SHARED(unsigned, value);
    value[0] = cluster_rank();
    cluster_arrive();
    cluster_wait();
    store_in_block(value, (cluster_rank() + 1) % cluster_size(), value[0] + 10);
    cluster_arrive();
    cluster_wait();
    out[blockIdx.x] = static_cast<int>(value[0]);
}
REGISTER_KERNEL(test_one_buffer);

TEST(aRaceBetweenBlocksOfAClusterShows) {
    std::vector<int> out(4);
    emulation::launch(test_one_buffer, LaunchShape{4, 1, 4, 4}, out.data());
    CHECK(out != (std::vector<int>{13, 10, 11, 12}));
}

// Fixed-size shared memory belongs to a block.
extern "C" __global__ void test_own_memory(int* out) {
    SHARED int value[1];
    if (threadIdx.x == 0) value[0] = static_cast<int>(cluster_rank());
    cluster_arrive();
    cluster_wait();
    out[blockIdx.x * blockDim.x + threadIdx.x] = value[0];
}
REGISTER_KERNEL(test_own_memory);

TEST(fixedSharedMemoryIsTheBlocksOwn) {
#ifndef __SANITIZE_ADDRESS__
    std::vector<int> out(8 * 3);
    emulation::launch(test_own_memory, LaunchShape{8, 3, 0, 4}, out.data());
    for (unsigned i = 0; i < out.size(); i++) CHECK_EQUAL(out[i], static_cast<int>(i / 3 % 4));
#endif
}

// `what` goes wrong in block 1 of 2.
extern "C" __global__ void test_cluster_mistake(int what) {
    DYNAMIC_SHARED(unsigned, value);
    bool wrong = cluster_rank() == 1;
    if (what == 0 && wrong) store_in_block(value, 2, 1);
    if (what == 1 && !wrong) store_in_block(value, 1, 1);    // in order, before the other one has begun
    if (what == 2 && wrong) cluster_wait();
    if (what == 3 && wrong) cluster_arrive();
    if (what == 4 && wrong && threadIdx.x == 0) __syncthreads();
    if (what == 5 && wrong) store_in_block(value + 1, 0, 1);
    if (what == 6 && wrong) return;
    cluster_arrive();
    cluster_wait();
    if (what == 6) store_in_block(value, 1, 1);
}
REGISTER_KERNEL(test_cluster_mistake);

TEST(mistakesWithClustersAreFaults) {
    auto launch = [](int what) { emulation::launch(test_cluster_mistake, LaunchShape{2, 2, 4, 2}, what); };
    launch(-1);
    CHECK_FAILS(launch(0), "kernel test_cluster_mistake, block (1, 0, 0): thread (0, 0, 0): a store to block 2 of a "
                           "cluster of 2");
    CHECK_FAILS(launch(1), "kernel test_cluster_mistake, block (0, 0, 0): thread (0, 0, 0): a store to block 1 of the "
                           "cluster, which has not begun or has ended: a barrier of the cluster must stand between");
    CHECK_FAILS(launch(2), "kernel test_cluster_mistake, block (1, 0, 0): thread (0, 0, 0) waits at cluster_wait");
    CHECK_FAILS(launch(3), "kernel test_cluster_mistake, block (1, 0, 0): thread (0, 0, 0) has come to cluster_arrive");
    CHECK_FAILS(launch(4), "kernel test_cluster_mistake, block (1, 0, 0): no thread can go on");
    CHECK_FAILS(launch(5), "kernel test_cluster_mistake, block (1, 0, 0): thread (0, 0, 0): a store of an address that "
                           "is not in dynamic shared memory");
    CHECK_FAILS(launch(6), "kernel test_cluster_mistake, block (0, 0, 0): thread (");
    launch(-1);    // nothing is left of it
}
