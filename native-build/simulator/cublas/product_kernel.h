// The innermost loops: a tile of the result in registers, from packed panels. Compiled once for each set of vector
// instructions; all of them add up in the same order, but only some fuse multiplication and addition.
#pragma once

#include <cstdint>

namespace product {

constexpr int64_t tileRows = 16;
constexpr int64_t tileColumns = 6;

// tile[j][i] = sum over p of a[p][i] b[p][j]; a [k, tileRows], b [k, tileColumns], tile [tileColumns, tileRows].
using Kernel = void(int64_t k, const float *a, const float *b, float *tile);

Kernel kernelPlain;
#if defined(__x86_64__)
Kernel kernelAvx2;
#endif

}  // namespace product
