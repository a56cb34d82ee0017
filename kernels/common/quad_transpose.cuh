// Transposition of a 4x4 matrix of registers among the four lanes that share a row of an mma result.
//
// Lane t of the four (t = lane % 4) holds words[j] = M[t][j] and gets M[j][t]; twice gives what was there. In four
// neighbouring results [16, 8] of mma, lane t holds columns 2t and 2t+1 of each, a word in bf16; turned, it holds the
// eight columns of result t: 16 bytes that lie together, 64 for the four lanes.

#pragma once

#include "platform.cuh"

__device__ __forceinline__ void quad_transpose(unsigned (&words)[4], int lane) {
    bool odd = lane & 1;
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
        unsigned got = __shfl_xor_sync(ALL_LANES, odd ? words[j] : words[j + 1], 1);
        if (odd) {
            words[j] = got;
        } else {
            words[j + 1] = got;
        }
    }
    bool high = lane & 2;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        unsigned got = __shfl_xor_sync(ALL_LANES, high ? words[j] : words[j + 2], 2);
        if (high) {
            words[j] = got;
        } else {
            words[j + 2] = got;
        }
    }
}
