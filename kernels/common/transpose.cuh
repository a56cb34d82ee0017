// Transposition of an 8x8 matrix of 16-bit values that a warp holds in one register per lane (movmatrix).
//
// With g = lane / 4 and t = lane % 4, the register of a lane holds M[g][2t] and M[g][2t+1], the first in the lower
// half; the result holds M[2t][g] and M[2t+1][g]. So what a lane loaded along a row becomes an operand of mma whose
// sum runs over rows, without a way through shared memory.

#pragma once

#include "platform.cuh"

#ifdef __CUDACC__

__device__ __forceinline__ unsigned transpose_8x8(unsigned matrix) {
    unsigned result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(matrix));
    return result;
}

#else

namespace emulation {

inline void combine_movmatrix(void* const* payloads, unsigned) {
    uint16_t matrix[8][8];
    for (int lane = 0; lane < 32; lane++) {
        unsigned pair = *static_cast<const unsigned*>(payloads[lane]);
        matrix[lane / 4][2 * (lane % 4)] = static_cast<uint16_t>(pair);
        matrix[lane / 4][2 * (lane % 4) + 1] = static_cast<uint16_t>(pair >> 16);
    }
    for (int lane = 0; lane < 32; lane++) {
        int g = lane / 4;
        int t = lane % 4;
        *static_cast<unsigned*>(payloads[lane]) = matrix[2 * t][g] | static_cast<unsigned>(matrix[2 * t + 1][g]) << 16;
    }
}

inline constexpr Operation MOVMATRIX = {"movmatrix", true, combine_movmatrix};

}  // namespace emulation

inline unsigned transpose_8x8(unsigned matrix, EMULATION_PLACE) {
    emulation::collective(0xffffffffu, emulation::MOVMATRIX, &matrix, line, file);
    return matrix;
}

#endif
