// Matrix products as cuBLAS computes them, on the host: column-major, float32 accumulation in a fixed order.
//
// D = alpha op(A) op(B) + beta C + bias        op(A) [m, k]   op(B) [k, n]   C, D [m, n]   bias [m], added to columns
//
// The sum over k is cut into blocks; products of a block are added up in registers one after the other, blocks in
// ascending order. So the same block length gives the same bits, and another one rounds differently: algorithms of the
// stand-ins differ in it, and a test can tell them apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace product {

enum class Type { f32, bf16 };

inline size_t bytesOf(Type type) {
    return type == Type::f32 ? 4 : 2;
}

struct Matrix {
    const void *data;
    Type type;
    int64_t leadingDimension;
};

struct Product {
    int64_t m, n, k;
    bool transposeA, transposeB;
    float alpha, beta;
    Matrix a, b, c;    // c is read only where beta is not 0
    void *d;
    Type dType;
    int64_t dLeadingDimension;
    const void *bias;  // of the type of d, or null
    int64_t kBlock;    // how the sum over k is cut
    float *partials;   // two matrices [m, n] for a sum over k in two halves, or null for one
};

// Computes it now, on this thread.
void compute(const Product &product);

}  // namespace product
