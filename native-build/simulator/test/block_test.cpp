// Barriers, shared memory, scheduling and faults of blocks.

#include <cmath>
#include <set>
#include <vector>

#include "common/platform.cuh"
#include "common/reduce.cuh"
#include "test.h"

using test::Setting;

extern "C" __global__ void test_indices(int* out) {
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}
REGISTER_KERNEL(test_indices);

TEST(everyThreadOfEveryBlockRunsOnce) {
    for (const char* schedule : {"ordered", "random:5"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        dim3 grid(3, 5, 2);
        dim3 block(7, 3, 4);
        std::vector<int> out(3 * 5 * 2 * 7 * 3 * 4);
        emulation::launch(test_indices, grid, block, 0, out.data());
        for (int count : out) CHECK_EQUAL(count, 1);
    }
}

extern "C" __global__ void test_reverse(const int* in, int* out) {
    DYNAMIC_SHARED(int, values);
    int i = static_cast<int>(threadIdx.x);
    int n = static_cast<int>(blockDim.x);
    int first = static_cast<int>(blockIdx.x) * n;
    for (int round = 0; round < 3; round++) {    // an odd number of reversals
        values[i] = round == 0 ? in[first + i] : out[first + i];
        __syncthreads();
        int other = values[n - 1 - i];
        __syncthreads();
        out[first + i] = other;
    }
}
REGISTER_KERNEL(test_reverse);

TEST(barriersOrderSharedMemoryInAnyOrderOfThreads) {
    for (const char* schedule : {"ordered", "random:1", "random:2"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        for (int n : {1, 31, 32, 33, 257, 1024}) {
            std::vector<int> in(static_cast<size_t>(5 * n));
            std::vector<int> out(in.size());
            for (size_t i = 0; i < in.size(); i++) in[i] = static_cast<int>(i);
            emulation::launch(test_reverse, 5, n, 4 * n, in.data(), out.data());
            for (int i = 0; i < 5 * n; i++) CHECK_EQUAL(out[static_cast<size_t>(i)], (i / n * n + n - 1 - i % n));
        }
    }
}

// In order, thread i - 1 has always written before thread i reads: only another order shows the missing barrier.
extern "C" __global__ void test_missing_barrier(int* out) {
    DYNAMIC_SHARED(int, values);
    int i = static_cast<int>(threadIdx.x);
    values[i] = i;
    out[i] = i == 0 ? 0 : values[i - 1] + 1;
}
REGISTER_KERNEL(test_missing_barrier);

// The second write does not wait for the readers of the first.
extern "C" __global__ void test_missing_second_barrier(int* out) {
    SHARED int value[1];
    int sum = 0;
    for (int round = 0; round < 4; round++) {
        if (threadIdx.x == 63) value[0] = round;
        __syncthreads();
        sum += value[0];
    }
    out[threadIdx.x] = sum;
}
REGISTER_KERNEL(test_missing_second_barrier);

namespace {

template <class F>
int wrong_results(void (*kernel)(int*), F expected) {
    int out[64];
    emulation::launch(kernel, 1, 64, 256, out);
    int wrong = 0;
    for (int i = 0; i < 64; i++) wrong += out[i] != expected(i);
    return wrong;
}

}  // namespace

TEST(aMissingBarrierShowsInRandomOrder) {
    auto same = [](int i) { return i; };
    CHECK_EQUAL(wrong_results(test_missing_barrier, same), 0);
    auto six = [](int) { return 6; };
    int shown = 0;
    for (const char* schedule : {"random:1", "random:2", "random:3", "random:4"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        CHECK(wrong_results(test_missing_barrier, same) > 0);
        shown += wrong_results(test_missing_second_barrier, six) > 0;
    }
    CHECK_EQUAL(shown, 4);
}

TEST(aRandomOrderIsTheSameForTheSameSeed) {
    std::set<std::vector<int>> results;
    for (const char* schedule : {"random:1", "random:1", "random:2", "random:1"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        std::vector<int> out(64);
        emulation::launch(test_missing_barrier, 1, 64, 256, out.data());
        results.insert(out);
    }
    CHECK_EQUAL(results.size(), 2u);
}

extern "C" __global__ void test_barrier_votes(int* count, int* any, int* all, int threshold) {
    int i = static_cast<int>(threadIdx.x);
    count[i] = __syncthreads_count(i < threshold);
    any[i] = __syncthreads_or(i < threshold);
    all[i] = __syncthreads_and(i < threshold);
}
REGISTER_KERNEL(test_barrier_votes);

TEST(barriersCountPredicates) {
    for (int threshold : {0, 1, 49, 50}) {
        int count[50];
        int any[50];
        int all[50];
        emulation::launch(test_barrier_votes, 1, 50, 0, count, any, all, threshold);
        for (int i = 0; i < 50; i++) {
            CHECK_EQUAL(count[i], threshold);
            CHECK_EQUAL(any[i], (threshold > 0));
            CHECK_EQUAL(all[i], (threshold == 50));
        }
    }
}

extern "C" __global__ void test_early_exit(int* out, int stay) {
    if (static_cast<int>(threadIdx.x) >= stay) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}
REGISTER_KERNEL(test_early_exit);

TEST(threadsThatHaveExitedDoNotHoldUpABarrier) {
    int out[100] = {};
    emulation::launch(test_early_exit, 1, 100, 0, out, 37);
    for (int i = 0; i < 100; i++) CHECK_EQUAL(out[i], (i < 37));
}

extern "C" __global__ void test_two_barriers(int* out) {
    if (threadIdx.x < 10) {
        __syncthreads();
        out[threadIdx.x] = 1;
    } else {
        __syncthreads();
        out[threadIdx.x] = 2;
    }
}
REGISTER_KERNEL(test_two_barriers);

TEST(threadsThatMeetInDifferentBarriersAreAnError) {
    int out[32];
    CHECK_FAILS(emulation::launch(test_two_barriers, 1, 32, 0, out),
                "kernel test_two_barriers, block (0, 0, 0): thread (10, 0, 0) has come to __syncthreads (");
}

extern "C" __global__ void test_read_shared(float* out_dynamic, float* out_fixed) {
    DYNAMIC_SHARED(float, dynamic);
    SHARED float fixed[32];
    out_dynamic[32 * blockIdx.x + threadIdx.x] = dynamic[threadIdx.x];
    out_fixed[32 * blockIdx.x + threadIdx.x] = fixed[threadIdx.x];
    dynamic[threadIdx.x] = 1;
    fixed[threadIdx.x] = 1;
}
REGISTER_KERNEL(test_read_shared);

TEST(sharedMemoryBeginsAsNaN) {
    for (const char* schedule : {"ordered", "random:1"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        float dynamic[32 * 6];
        float fixed[32 * 6];
        emulation::launch(test_read_shared, 6, 32, 128, dynamic, fixed);
        for (int i = 0; i < 32 * 6; i++) {
            CHECK(std::isnan(dynamic[i]));
#ifndef __SANITIZE_ADDRESS__
            if (schedule[0] == 'r') CHECK(std::isnan(fixed[i]));
#endif
        }
    }
}

extern "C" __global__ void test_beyond_dynamic(int* out, int at) {
    DYNAMIC_SHARED(int, values);
    values[at] = 1;
    out[0] = values[at];
}
REGISTER_KERNEL(test_beyond_dynamic);

#ifndef __SANITIZE_ADDRESS__
TEST(dynamicSharedMemoryEndsWhereTheLaunchSays) {
    int out[1];
    emulation::launch(test_beyond_dynamic, 1, 1, 1024, out, 255);
    CHECK_EQUAL(out[0], 1);
    CHECK_FAILS(emulation::launch(test_beyond_dynamic, 1, 1, 1024, out, 256), "accesses address");
}
#endif

// Each block counts in shared memory of its own, while others run.
extern "C" __global__ void test_own_shared(int* out) {
    SHARED int count[1];
    if (threadIdx.x == 0) count[0] = 0;
    __syncthreads();
    for (int i = 0; i < 32; i++) {
        if (static_cast<int>(threadIdx.x) == i) count[0] += 1;
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = count[0];
}
REGISTER_KERNEL(test_own_shared);

TEST(blocksThatRunTogetherHaveSharedMemoryOfTheirOwn) {
    Setting setting("MEGABYTE4J_SIMULATOR_THREADS", "4");
    int out[200];
    emulation::launch(test_own_shared, 200, 32, 0, out);
    for (int count : out) CHECK_EQUAL(count, 32);
}

extern "C" __global__ void test_atomics(int* sum, unsigned* tickets, int* last) {
    atomicAdd(sum, static_cast<int>(threadIdx.x));
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1) last[0] += 1;
}
REGISTER_KERNEL(test_atomics);

TEST(atomicsAreAtomicOverBlocks) {
    int sum = 0;
    unsigned tickets = 0;
    int last = 0;
    emulation::launch(test_atomics, 500, 64, 0, &sum, &tickets, &last);
    CHECK_EQUAL(sum, 500 * 64 * 63 / 2);
    CHECK_EQUAL(tickets, 0u);
    CHECK_EQUAL(last, 1);
}

extern "C" __global__ void test_reductions(const float* in, float* sums, float* maxima) {
    float value = in[blockIdx.x * blockDim.x + threadIdx.x];
    float sum = block_sum<256>(value);
    float again = block_sum<256>(value);
    float maximum = block_max<256>(value);
    sums[blockIdx.x * blockDim.x + threadIdx.x] = sum == again ? sum : NAN;
    maxima[blockIdx.x * blockDim.x + threadIdx.x] = maximum;
}
REGISTER_KERNEL(test_reductions);

TEST(reductionsHaveTheSameBitsInEveryThreadAndOrder) {
    std::vector<float> in(256 * 4);
    for (size_t i = 0; i < in.size(); i++) in[i] = std::sin(static_cast<float>(i)) * 1000;
    std::vector<std::vector<float>> all;
    for (const char* schedule : {"ordered", "random:1", "random:2"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        std::vector<float> sums(in.size());
        std::vector<float> maxima(in.size());
        emulation::launch(test_reductions, 4, 256, 0, in.data(), sums.data(), maxima.data());
        for (size_t block = 0; block < 4; block++) {
            double exact = 0;
            float maximum = in[block * 256];
            for (size_t i = 0; i < 256; i++) {
                exact += in[block * 256 + i];
                maximum = std::max(maximum, in[block * 256 + i]);
            }
            for (size_t i = block * 256; i < (block + 1) * 256; i++) {
                CHECK(std::fabs(sums[i] - exact) < 1e-2);    // 256 roundings of at most 2^-24 * 256000 each
                CHECK(sums[i] == sums[block * 256]);
                CHECK(maxima[i] == maximum);
            }
        }
        all.push_back(sums);
    }
    CHECK(all[0] == all[1] && all[1] == all[2]);
}

extern "C" __global__ void test_wild(int* out, long long at) { out[at] = 1; }
REGISTER_KERNEL(test_wild);

extern "C" __global__ void test_deep(int* out) {
    volatile char local[1 << 20];
    for (int i = (1 << 20) - 1; i >= 0; i -= 1024) local[i] = 1;
    out[0] = local[0];
}
REGISTER_KERNEL(test_deep);

extern "C" __global__ void test_divide(int* out, int by) { out[0] = 7 / by; }
REGISTER_KERNEL(test_divide);

extern "C" __global__ void test_trap() {
    if (threadIdx.x == 3) __trap();
    __syncthreads();
}
REGISTER_KERNEL(test_trap);

extern "C" __global__ void test_misaligned(const char* from, float* out) {
    out[0] = __ldg(reinterpret_cast<const float4*>(from)).x;
}
REGISTER_KERNEL(test_misaligned);

TEST(aFaultEndsTheLaunchAndNothingElse) {
    int out[32] = {};
    CHECK_FAILS(emulation::launch(test_wild, 1, 1, 0, out, 1ll << 40), "test_wild, block (0, 0, 0): thread (0, 0, 0) ");
#ifndef __SANITIZE_ADDRESS__
    CHECK_FAILS(emulation::launch(test_wild, 9, 32, 0, static_cast<int*>(nullptr), 0), "null");
    CHECK_FAILS(emulation::launch(test_deep, 1, 32, 0, out), "needs more than 64 KiB for its local variables");
    CHECK_FAILS(emulation::launch(test_divide, 1, 1, 0, out, 0), "divides an integer by zero");
#endif
    CHECK_FAILS(emulation::launch(test_trap, 1, 32, 0), "thread (3, 0, 0): __trap() (block_test.cpp:");
    alignas(16) char bytes[32] = {};
    float value[1];
    CHECK_FAILS(emulation::launch(test_misaligned, 1, 1, 0, bytes + 4, value), "not a multiple of 16");
    emulation::launch(test_divide, 1, 1, 0, out, 2);
    CHECK_EQUAL(out[0], 3);
}

TEST(launchesCheckTheirArguments) {
    int out[32];
    CHECK_FAILS(emulation::launch("test_divide", 1, 1, 0, static_cast<int*>(out), 1ll),
                "kernel test_divide: parameter 1 has 4 bytes, the argument 8");
    CHECK_FAILS(emulation::launch("test_divide", 1, 1, 0, static_cast<int*>(out)), "has 2 parameters, not 1");
    CHECK_FAILS(emulation::launch("test_nobody", 1, 1, 0), "there is no kernel test_nobody");
    CHECK_FAILS(emulation::launch(test_trap, 1, 1025, 0), "a block of 1025");
    CHECK_FAILS(emulation::launch(test_trap, 1, 1, (227 << 10) + 1), "too much dynamic shared memory");
}
