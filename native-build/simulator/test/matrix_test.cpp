// bf16, mma, ldmatrix and cp.async against the PTX ISA's own words.

#include <cmath>
#include <cstring>
#include <vector>

#include "common/async_copy.cuh"
#include "common/mma.cuh"
#include "test.h"

TEST(bf16RoundsToNearestEven) {
    for (unsigned upper = 0; upper < 0x10000; upper++) {
        float below = __uint_as_float(upper << 16);
        if (std::isnan(below)) {
            CHECK_EQUAL(to_bf16(below).bits, 0x7fff);
            continue;
        }
        CHECK_EQUAL(to_bf16(below).bits, upper);
        if ((upper & 0x7fff) == 0x7f80) continue;    // infinity has nothing above it
        CHECK_EQUAL(to_bf16(__uint_as_float(upper << 16 | 0x7fff)).bits, upper);
        CHECK_EQUAL(to_bf16(__uint_as_float(upper << 16 | 0x8000)).bits, upper + upper % 2);
        CHECK_EQUAL(to_bf16(__uint_as_float(upper << 16 | 0x8001)).bits, upper + 1);
    }
    CHECK_EQUAL(pack_bf16(1.0f, -2.0f), 0xc0003f80u);
    CHECK(low_bf16(0xc0003f80u) == 1.0f && high_bf16(0xc0003f80u) == -2.0f);
}

extern "C" __global__ void test_mma(const bf16* a, const bf16* b, const float* c, float* d) {
    int lane = lane_index();
    int group = lane >> 2;
    int in_group = lane % 4;
    // PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": element i of a fragment.
    bf16 fragment_a[8];
    for (int i = 0; i < 8; i++) {
        int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8;
        int column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
        fragment_a[i] = a[row * 16 + column];
    }
    bf16 fragment_b[4];
    for (int i = 0; i < 4; i++) {
        int row = i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
        fragment_b[i] = b[row * 8 + group];
    }
    float sums[4];
    for (int i = 0; i < 4; i++) sums[i] = c[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
    unsigned registers_a[4];
    unsigned registers_b[2];
    std::memcpy(registers_a, fragment_a, sizeof registers_a);
    std::memcpy(registers_b, fragment_b, sizeof registers_b);
    mma_m16n8k16(sums, registers_a, registers_b);
    for (int i = 0; i < 4; i++) d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = sums[i];
}
REGISTER_KERNEL(test_mma);

TEST(mmaIsTheProductPlusTheSum) {
    for (const char* schedule : {"ordered", "random:1"}) {
        test::Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        bf16 a[256];
        bf16 b[128];
        float c[128];
        float d[128];
        for (int i = 0; i < 256; i++) a[i] = to_bf16(std::sin(static_cast<float>(3 * i + 1)));
        for (int i = 0; i < 128; i++) b[i] = to_bf16(std::cos(static_cast<float>(5 * i + 2)));
        for (int i = 0; i < 128; i++) c[i] = std::sin(static_cast<float>(7 * i));
        emulation::launch(test_mma, 1, 32, 0, a, b, c, d);
        for (int m = 0; m < 16; m++) {
            for (int n = 0; n < 8; n++) {
                double expected = c[m * 8 + n];
                for (int k = 0; k < 16; k++) {
                    expected += static_cast<double>(to_float(a[m * 16 + k])) * to_float(b[k * 8 + n]);
                }
                CHECK(std::fabs(d[m * 8 + n] - expected) < 16 * 17 * 6e-8);    // 16 roundings of sums below 17
            }
        }
    }
}

extern "C" __global__ void test_ldmatrix(int* x4, int* x4_trans, int* x2, int* x2_trans) {
    SHARED bf16 tile[4 * 8 * 8];
    int lane = lane_index();
    for (int i = lane; i < 256; i += 32) tile[i].bits = static_cast<uint16_t>(i);
    __syncwarp();
    unsigned four[4];
    unsigned two[2];
    const bf16* row = tile + 8 * lane;
    ldmatrix_x4(four, row);
    std::memcpy(x4 + 4 * lane, four, sizeof four);
    ldmatrix_x4_trans(four, row);
    std::memcpy(x4_trans + 4 * lane, four, sizeof four);
    ldmatrix_x2(two, row);
    std::memcpy(x2 + 2 * lane, two, sizeof two);
    ldmatrix_x2_trans(two, row);
    std::memcpy(x2_trans + 2 * lane, two, sizeof two);
}
REGISTER_KERNEL(test_ldmatrix);

// PTX ISA, ldmatrix: thread t holds elements 2 * (t % 4) and the next of row t / 4, with .trans of the transpose.
TEST(ldmatrixGivesEachLaneItsElements) {
    int x4[128];
    int x4_trans[128];
    int x2[64];
    int x2_trans[64];
    emulation::launch(test_ldmatrix, 1, 32, 0, x4, x4_trans, x2, x2_trans);
    for (int lane = 0; lane < 32; lane++) {
        int row = lane / 4;
        int column = 2 * (lane % 4);
        for (int matrix = 0; matrix < 4; matrix++) {
            int plain = (matrix * 64 + row * 8 + column) | (matrix * 64 + row * 8 + column + 1) << 16;
            int transposed = (matrix * 64 + column * 8 + row) | (matrix * 64 + (column + 1) * 8 + row) << 16;
            CHECK_EQUAL(x4[4 * lane + matrix], plain);
            CHECK_EQUAL(x4_trans[4 * lane + matrix], transposed);
            if (matrix >= 2) continue;
            CHECK_EQUAL(x2[2 * lane + matrix], plain);
            CHECK_EQUAL(x2_trans[2 * lane + matrix], transposed);
        }
    }
}

extern "C" __global__ void test_ldmatrix_of(const bf16* row, int* out) {
    unsigned four[4];
    ldmatrix_x4(four, row);
    out[lane_index()] = static_cast<int>(four[0]);
}
REGISTER_KERNEL(test_ldmatrix_of);

extern "C" __global__ void test_ldmatrix_misaligned(int* out) {
    SHARED bf16 tile[512];
    unsigned four[4];
    ldmatrix_x4(four, tile + 9 * lane_index());
    out[lane_index()] = static_cast<int>(four[0]);
}
REGISTER_KERNEL(test_ldmatrix_misaligned);

extern "C" __global__ void test_partial_mma(float* out) {
    if (lane_index() == 31) return;
    float d[4] = {};
    unsigned a[4] = {};
    unsigned b[2] = {};
    mma_m16n8k16(d, a, b);
    out[lane_index()] = d[0];
}
REGISTER_KERNEL(test_partial_mma);

TEST(matrixInstructionsRefuseWhatTheHardwareCannot) {
    int out[32];
    float floats[32];
    alignas(16) static bf16 global[512];
#ifndef __SANITIZE_ADDRESS__
    CHECK_FAILS(emulation::launch(test_ldmatrix_of, 1, 32, 0, global, out), "which is not in shared memory");
#else
    (void)global;
#endif
    CHECK_FAILS(emulation::launch(test_ldmatrix_misaligned, 1, 32, 0, out), "not a multiple of 16");
    CHECK_FAILS(emulation::launch(test_partial_mma, 1, 32, 0, floats), "mma");
    CHECK_FAILS(emulation::launch(test_partial_mma, 1, 16, 0, floats), "mma (matrix_test.cpp:");
}

// Three groups of copies; `groups_left` says how many may still be on their way when the thread looks.
template <int GROUPS_LEFT>
__device__ void copy_and_look(const float* from, float* out) {
    SHARED float buffer[3 * 4];
    for (int i = 0; i < 12; i++) buffer[i] = -1;
    for (int group = 0; group < 3; group++) {
        cp_async_16(buffer + 4 * group, from + 4 * group, group != 1);
        cp_async_commit();
    }
    if (GROUPS_LEFT < 3) cp_async_wait<GROUPS_LEFT>();
    for (int i = 0; i < 12; i++) out[i] = buffer[i];
}

extern "C" __global__ void test_copy_3(const float* from, float* out) { copy_and_look<3>(from, out); }
REGISTER_KERNEL(test_copy_3);
extern "C" __global__ void test_copy_2(const float* from, float* out) { copy_and_look<2>(from, out); }
REGISTER_KERNEL(test_copy_2);
extern "C" __global__ void test_copy_1(const float* from, float* out) { copy_and_look<1>(from, out); }
REGISTER_KERNEL(test_copy_1);
extern "C" __global__ void test_copy_0(const float* from, float* out) { copy_and_look<0>(from, out); }
REGISTER_KERNEL(test_copy_0);

TEST(asynchronousCopiesArriveWithTheWaitThatMustHaveCompletedThem) {
    alignas(16) float from[12];
    for (int i = 0; i < 12; i++) from[i] = static_cast<float>(i + 1);
    const char* kernels[] = {"test_copy_3", "test_copy_2", "test_copy_1", "test_copy_0"};
    for (int arrived = 0; arrived <= 3; arrived++) {
        float out[12];
        emulation::launch(kernels[arrived], 1, 1, 0, static_cast<const float*>(from), static_cast<float*>(out));
        for (int i = 0; i < 12; i++) {
            float expected = i / 4 >= arrived ? -1.0f : i / 4 == 1 ? 0.0f : from[i];
            CHECK_EQUAL(out[i], expected);
        }
    }
}

// A copy into a buffer that is still being read: in random order some copies are faster than the reader.
extern "C" __global__ void test_copy_too_early(const float* from, float* out) {
    SHARED float buffer[32][4];
    int lane = lane_index();
    buffer[lane][0] = -1;
    __syncthreads();
    cp_async_16(buffer[lane], from, true);
    cp_async_commit();
    out[lane] = buffer[lane][0];
    cp_async_wait<0>();
}
REGISTER_KERNEL(test_copy_too_early);

TEST(inRandomOrderSomeCopiesAreFast) {
    alignas(16) float from[4] = {1, 1, 1, 1};
    float out[32];
    emulation::launch(test_copy_too_early, 1, 32, 0, from, out);
    for (float value : out) CHECK(value == -1);
    test::Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", "random:1");
    emulation::launch(test_copy_too_early, 1, 32, 0, from, out);
    int fast = 0;
    for (float value : out) fast += value == 1;
    CHECK(fast > 4 && fast < 28);
}
