// Shuffles, votes and what happens to lanes that are not there.

#include <vector>

#include "common/platform.cuh"
#include "test.h"

// out[kind][operand][lane], for operands 0 to 31 in segments of `width` lanes.
extern "C" __global__ void test_shuffles(int* out, int width) {
    int lane = lane_index();
    for (int operand = 0; operand < 32; operand++) {
        out[(0 * 32 + operand) * 32 + lane] = __shfl_sync(ALL_LANES, 100 + lane, operand, width);
        out[(1 * 32 + operand) * 32 + lane] = __shfl_up_sync(ALL_LANES, 100 + lane, operand, width);
        out[(2 * 32 + operand) * 32 + lane] = __shfl_down_sync(ALL_LANES, 100 + lane, operand, width);
        out[(3 * 32 + operand) * 32 + lane] = __shfl_xor_sync(ALL_LANES, 100 + lane, operand, width);
    }
}
REGISTER_KERNEL(test_shuffles);

// CUDA C++ Programming Guide, "Warp Shuffle Functions".
TEST(shufflesGiveWhatTheProgrammingGuideSays) {
    for (int width = 1; width <= 32; width *= 2) {
        std::vector<int> out(4 * 32 * 32);
        emulation::launch(test_shuffles, 1, 32, 0, out.data(), width);
        for (int operand = 0; operand < 32; operand++) {
            for (int lane = 0; lane < 32; lane++) {
                int segment = lane / width * width;
                int within = lane % width;
                int at = operand * 32 + lane;
                CHECK_EQUAL(out[at], 100 + segment + operand % width);
                CHECK_EQUAL(out[1024 + at], 100 + (within < operand ? lane : lane - operand));
                CHECK_EQUAL(out[2048 + at], 100 + (within + operand >= width ? lane : lane + operand));
                int other = lane ^ operand;
                CHECK_EQUAL(out[3072 + at], 100 + (other / width > lane / width ? lane : other));
            }
        }
    }
}

extern "C" __global__ void test_wide_shuffles(double* d, long long* l, float* f) {
    int lane = lane_index();
    d[lane] = __shfl_sync(ALL_LANES, 0.1 * lane, 31 - lane);
    l[lane] = __shfl_sync(ALL_LANES, (1ll << 40) * lane, 31 - lane);
    f[lane] = __shfl_sync(ALL_LANES, 0.1f * static_cast<float>(lane), 31 - lane);
}
REGISTER_KERNEL(test_wide_shuffles);

TEST(shufflesKeepAllBitsOfATypeAndMayReadAnotherLaneInEach) {
    double d[32];
    long long l[32];
    float f[32];
    emulation::launch(test_wide_shuffles, 1, 32, 0, d, l, f);
    for (int lane = 0; lane < 32; lane++) {
        CHECK(d[lane] == 0.1 * (31 - lane));
        CHECK(l[lane] == (1ll << 40) * (31 - lane));
        CHECK(f[lane] == 0.1f * static_cast<float>(31 - lane));
    }
}

// Even and odd lanes vote apart, at the same time.
extern "C" __global__ void test_votes(int* ballot, int* any, int* all, int threshold) {
    int lane = lane_index();
    unsigned mask = lane % 2 == 0 ? 0x55555555u : 0xaaaaaaaau;
    ballot[lane] = static_cast<int>(__ballot_sync(mask, lane < threshold));
    any[lane] = __any_sync(mask, lane < threshold);
    all[lane] = __all_sync(mask, lane < threshold);
}
REGISTER_KERNEL(test_votes);

TEST(votesAreOfTheLanesInTheMask) {
    for (int threshold = 0; threshold <= 32; threshold++) {
        int ballot[32];
        int any[32];
        int all[32];
        emulation::launch(test_votes, 1, 32, 0, ballot, any, all, threshold);
        for (int lane = 0; lane < 32; lane++) {
            int expected = 0;
            int count = 0;
            for (int other = lane % 2; other < 32; other += 2) {
                if (other >= threshold) continue;
                expected |= static_cast<int>(1u << other);
                count++;
            }
            CHECK_EQUAL(ballot[lane], expected);
            CHECK_EQUAL(any[lane], (count > 0));
            CHECK_EQUAL(all[lane], (count == 16));
        }
    }
}

extern "C" __global__ void test_exited_lanes(unsigned long long* out) {
    int lane = lane_index();
    if (lane >= 20) return;
    unsigned there = __ballot_sync(ALL_LANES, 1);
    unsigned value = __shfl_sync(ALL_LANES, 7u, lane + 10);
    out[lane] = static_cast<unsigned long long>(there) << 32 | value;
}
REGISTER_KERNEL(test_exited_lanes);

TEST(lanesThatHaveExitedAreNotWaitedForAndGiveNaN) {
    for (int threads : {32, 20}) {
        unsigned long long out[20];
        emulation::launch(test_exited_lanes, 1, threads, 0, out);
        for (int lane = 0; lane < 20; lane++) {
            CHECK(out[lane] >> 32 == 0xfffffu);
            CHECK((out[lane] & 0xffffffffu) == (lane < 10 ? 7u : 0xffffffffu));
        }
    }
}

extern "C" __global__ void test_not_in_mask(int* out) { out[lane_index()] = __shfl_sync(0xfffeu, 1, 0); }
REGISTER_KERNEL(test_not_in_mask);

TEST(aLaneOutsideItsOwnMaskIsAnError) {
    int out[32];
    CHECK_FAILS(emulation::launch(test_not_in_mask, 1, 32, 0, out),
                "kernel test_not_in_mask, block (0, 0, 0): thread (0, 0, 0) is not in the mask 0x0000fffe of its "
                "__shfl_sync (warp_test.cpp:");
}

extern "C" __global__ void test_missing_lane(int* out) {
    if (threadIdx.x == 5) {
        __syncthreads();
    } else {
        out[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1, 1);
    }
}
REGISTER_KERNEL(test_missing_lane);

TEST(aLaneThatNeverComesIsNamed) {
    int out[32];
    std::string failure = test::failure_of([&] { emulation::launch(test_missing_lane, 3, 32, 0, out); });
    CHECK(test::contains(failure, "kernel test_missing_lane, block ("));
    CHECK(test::contains(failure, "no thread can go on"));
    CHECK(test::contains(failure, "31 wait at __shfl_xor_sync (warp_test.cpp:"));
    CHECK(test::contains(failure, "for lanes 0x00000020"));
    CHECK(test::contains(failure, "1 wait at __syncthreads (warp_test.cpp:"));
    CHECK(test::contains(failure, ": (5, 0, 0)"));
}

extern "C" __global__ void test_different_operations(int* out) {
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_sync(ALL_LANES, 1, 1);
    } else {
        out[threadIdx.x] = __shfl_up_sync(ALL_LANES, 1, 1);
    }
}
REGISTER_KERNEL(test_different_operations);

TEST(lanesThatMeetInDifferentOperationsAreAnError) {
    int out[32];
    CHECK_FAILS(emulation::launch(test_different_operations, 1, 32, 0, out),
                "but other lanes of its warp to __shfl_sync");
}

// Fragments of a sum in which each step depends on the last, with lanes in several groups.
extern "C" __global__ void test_sync_warp(int* out) {
    SHARED int values[32];
    int lane = lane_index();
    values[lane] = lane;
    __syncwarp();
    for (int distance = 1; distance < 32; distance *= 2) {
        int other = lane >= distance ? values[lane - distance] : 0;
        __syncwarp();
        values[lane] += other;
        __syncwarp();
    }
    out[lane] = values[lane];
}
REGISTER_KERNEL(test_sync_warp);

TEST(syncwarpOrdersSharedMemoryInAnyOrderOfLanes) {
    for (const char* schedule : {"ordered", "random:1", "random:2", "random:3"}) {
        test::Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        int out[32];
        emulation::launch(test_sync_warp, 1, 32, 0, out);
        for (int lane = 0; lane < 32; lane++) CHECK_EQUAL(out[lane], lane * (lane + 1) / 2);
    }
}
