// Tensor-core products of bf16 with float32 sums, and the loads that fill their registers.
//
// All 32 lanes of a warp call these together. With g = lane / 4 and t = lane % 4 (PTX ISA, "Matrix Fragments for
// mma.m16n8k16"), a register holds two neighbours, the first in the lower half:
//
//   A [16, 16]   a[0] = A[g][2t..]   a[1] = A[g+8][2t..]   a[2] = A[g][2t+8..]   a[3] = A[g+8][2t+8..]
//   B [16, 8]    b[0] = B[2t..][g]   b[1] = B[2t+8..][g]            (so: rows of B transposed, [n][k])
//   D [16, 8]    d[0] = D[g][2t]     d[1] = D[g][2t+1]     d[2] = D[g+8][2t]     d[3] = D[g+8][2t+1]
//
// ldmatrix reads 8x8 matrices of 16-bit values: lane l names the address of row l % 8 of matrix l / 8 (16 bytes,
// 16-byte aligned, in shared memory; x2 uses lanes 0 to 15). Register i of lane l gets M_i[g][2t], M_i[g][2t+1];
// with _trans M_i[2t][g], M_i[2t+1][g]. A barrier must stand between the writes to shared memory and the load.

#pragma once

#include "bf16.cuh"

#ifdef __CUDACC__

// d += a b
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row)));
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared_row)));
}

__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared_row)));
}

__device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&r)[2], const void* shared_row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(shared_row)));
}

#else

namespace emulation {

struct MmaLane {
    float* d;
    const unsigned* a;
    const unsigned* b;
};

// The last lane to arrive computes the products of all: exact in float32, added in the order of k.
inline void combine_mma(void* const* payloads, unsigned) {
    typedef float Row __attribute__((vector_size(32)));
    float a[16][16];
    Row b[16];
    Row d[16];
    for (int lane = 0; lane < 32; lane++) {
        const MmaLane& l = *static_cast<const MmaLane*>(payloads[lane]);
        int g = lane / 4;
        int t = lane % 4;
        for (int half = 0; half < 2; half++) {
            a[g][8 * half + 2 * t] = low_bf16(l.a[2 * half]);
            a[g][8 * half + 2 * t + 1] = high_bf16(l.a[2 * half]);
            a[g + 8][8 * half + 2 * t] = low_bf16(l.a[2 * half + 1]);
            a[g + 8][8 * half + 2 * t + 1] = high_bf16(l.a[2 * half + 1]);
            b[8 * half + 2 * t][g] = low_bf16(l.b[half]);
            b[8 * half + 2 * t + 1][g] = high_bf16(l.b[half]);
            d[g + 8 * half][2 * t] = l.d[2 * half];
            d[g + 8 * half][2 * t + 1] = l.d[2 * half + 1];
        }
    }
    for (int m = 0; m < 16; m++) {
        Row sum = d[m];
        for (int k = 0; k < 16; k++) sum += a[m][k] * b[k];
        d[m] = sum;
    }
    for (int lane = 0; lane < 32; lane++) {
        float* out = static_cast<const MmaLane*>(payloads[lane])->d;
        int g = lane / 4;
        int t = lane % 4;
        out[0] = d[g][2 * t];
        out[1] = d[g][2 * t + 1];
        out[2] = d[g + 8][2 * t];
        out[3] = d[g + 8][2 * t + 1];
    }
}

inline constexpr Operation MMA = {"mma", true, combine_mma};

struct LdmatrixLane {
    unsigned* registers;
    const void* row;
};

template <int MATRICES, bool TRANSPOSED>
void combine_ldmatrix(void* const* payloads, unsigned) {
    for (int i = 0; i < MATRICES; i++) {
        const uint16_t* rows[8];
        for (int row = 0; row < 8; row++) {
            rows[row] = static_cast<const uint16_t*>(static_cast<const LdmatrixLane*>(payloads[8 * i + row])->row);
            check_aligned(rows[row], 16, "ldmatrix");
            check_shared(rows[row], 16, "ldmatrix");
        }
        for (int lane = 0; lane < 32; lane++) {
            int g = lane / 4;
            int t = lane % 4;
            unsigned lo = TRANSPOSED ? rows[2 * t][g] : rows[g][2 * t];
            unsigned hi = TRANSPOSED ? rows[2 * t + 1][g] : rows[g][2 * t + 1];
            static_cast<const LdmatrixLane*>(payloads[lane])->registers[i] = lo | hi << 16;
        }
    }
}

template <int MATRICES, bool TRANSPOSED>
inline constexpr Operation LDMATRIX = {"ldmatrix", true, combine_ldmatrix<MATRICES, TRANSPOSED>};

template <int MATRICES, bool TRANSPOSED>
void ldmatrix(unsigned* registers, const void* row, int line, const char* file) {
    LdmatrixLane lane = {registers, row};
    collective(0xffffffffu, LDMATRIX<MATRICES, TRANSPOSED>, &lane, line, file);
}

}  // namespace emulation

inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], EMULATION_PLACE) {
    emulation::MmaLane lane = {d, a, b};
    emulation::collective(0xffffffffu, emulation::MMA, &lane, line, file);
}

inline void ldmatrix_x4(unsigned (&r)[4], const void* shared_row, EMULATION_PLACE) {
    emulation::ldmatrix<4, false>(r, shared_row, line, file);
}

inline void ldmatrix_x4_trans(unsigned (&r)[4], const void* shared_row, EMULATION_PLACE) {
    emulation::ldmatrix<4, true>(r, shared_row, line, file);
}

inline void ldmatrix_x2(unsigned (&r)[2], const void* shared_row, EMULATION_PLACE) {
    emulation::ldmatrix<2, false>(r, shared_row, line, file);
}

inline void ldmatrix_x2_trans(unsigned (&r)[2], const void* shared_row, EMULATION_PLACE) {
    emulation::ldmatrix<2, true>(r, shared_row, line, file);
}

#endif
