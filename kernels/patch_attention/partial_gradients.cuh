// Adds the sums of the blocks that share a tile of keys, in the order of the blocks.

#pragma once

#include "geometry.cuh"

// partial [splits, rows, width] -> columns `column`.. of d_qkv [rows, packed_width]
template <class T>
__device__ __forceinline__ void sum_partial_gradients(const float* partial, T* d_qkv, long long rows, int width,
                                                      int packed_width, int splits) {
    long long elements = rows * width;
    long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += step) {
        float sum = 0;
        for (int split = 0; split < splits; split++) sum += partial[split * elements + i];
        store_float(d_qkv, i / width * packed_width + packed_width - width + i % width, sum);
    }
}
