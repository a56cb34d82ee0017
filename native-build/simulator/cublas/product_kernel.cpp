#include "product_kernel.h"

#ifndef KERNEL
#define KERNEL kernelPlain
#endif

namespace product {

// Eight floats; the compiler takes what registers it has.
typedef float Lanes __attribute__((vector_size(32)));

void KERNEL(int64_t k, const float *a, const float *b, float *tile) {
    Lanes sum[tileColumns][2] = {};
    for (int64_t p = 0; p < k; p++) {
        const Lanes *rows = reinterpret_cast<const Lanes *>(a + p * tileRows);
        for (int j = 0; j < tileColumns; j++) {
            const float factor = b[p * tileColumns + j];
            sum[j][0] += rows[0] * factor;
            sum[j][1] += rows[1] * factor;
        }
    }
    for (int j = 0; j < tileColumns; j++) {
        reinterpret_cast<Lanes *>(tile)[2 * j] = sum[j][0];
        reinterpret_cast<Lanes *>(tile)[2 * j + 1] = sum[j][1];
    }
}

}  // namespace product
