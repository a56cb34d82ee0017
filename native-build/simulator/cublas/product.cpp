#include "product.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "product_kernel.h"

namespace product {
namespace {

// Rows and columns of the result whose panels are packed at a time.
constexpr int64_t rowBlock = 8 * tileRows;
constexpr int64_t columnBlock = 64 * tileColumns;

float fromBf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// Round to nearest even; NaN stays NaN.
uint16_t toBf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<uint16_t>(bits >> 16 | 0x40);
    }
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float load(const void *data, Type type, int64_t index) {
    return type == Type::f32 ? static_cast<const float *>(data)[index]
                             : fromBf16(static_cast<const uint16_t *>(data)[index]);
}

void store(void *data, Type type, int64_t index, float value) {
    if (type == Type::f32) {
        static_cast<float *>(data)[index] = value;
    } else {
        static_cast<uint16_t *>(data)[index] = toBf16(value);
    }
}

struct AlignedFloats {
    explicit AlignedFloats(int64_t count)
        : data(static_cast<float *>(::operator new[](count * sizeof(float), std::align_val_t(64)))) {}
    ~AlignedFloats() { ::operator delete[](data, std::align_val_t(64)); }
    AlignedFloats(const AlignedFloats &) = delete;
    AlignedFloats &operator=(const AlignedFloats &) = delete;

    float *const data;
};

// Packs `width` vectors of length `depth` into panels of `panel` vectors, element by element side by side; the last
// panel is filled up with zeros. Element (vector v, position p) lies at v * vectorStride + p * positionStride.
void pack(const Matrix &from, int64_t first, int64_t width, int64_t vectorStride, int64_t start, int64_t depth,
          int64_t positionStride, int64_t panel, float *to) {
    for (int64_t v = 0; v < width; v += panel) {
        const int64_t held = std::min(panel, width - v);
        for (int64_t p = 0; p < depth; p++) {
            const int64_t at = (first + v) * vectorStride + (start + p) * positionStride;
            for (int64_t i = 0; i < held; i++) {
                to[p * panel + i] = load(from.data, from.type, at + i * vectorStride);
            }
            std::fill(to + p * panel + held, to + (p + 1) * panel, 0.0f);
        }
        to += depth * panel;
    }
}

Kernel *bestKernel() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return kernelAvx2;
    }
#endif
    return kernelPlain;
}

// sums [m, n] = op(A) op(B) over positions start to end of k, for the columns of one block of the result.
void sumColumns(const Product &x, int64_t start, int64_t end, int64_t column, int64_t columns, float *sums,
                int64_t sumsLeadingDimension) {
    static Kernel *const kernel = bestKernel();
    const int64_t depth = std::max<int64_t>(1, std::min(x.kBlock, end - start));
    const int64_t packedColumns = (columns + tileColumns - 1) / tileColumns * tileColumns;
    AlignedFloats panelA(rowBlock * depth);
    AlignedFloats panelB(packedColumns * depth);
    for (int64_t j = 0; j < columns; j++) {
        std::fill_n(sums + j * sumsLeadingDimension, x.m, 0.0f);
    }
    for (int64_t p = start; p < end; p += depth) {
        const int64_t length = std::min(depth, end - p);
        pack(x.b, column, columns, x.transposeB ? 1 : x.b.leadingDimension, p, length,
             x.transposeB ? x.b.leadingDimension : 1, tileColumns, panelB.data);
        for (int64_t row = 0; row < x.m; row += rowBlock) {
            const int64_t rows = std::min(rowBlock, x.m - row);
            pack(x.a, row, rows, x.transposeA ? x.a.leadingDimension : 1, p, length,
                 x.transposeA ? 1 : x.a.leadingDimension, tileRows, panelA.data);
            for (int64_t j = 0; j < columns; j += tileColumns) {
                for (int64_t i = 0; i < rows; i += tileRows) {
                    alignas(64) float tile[tileColumns * tileRows];
                    kernel(length, panelA.data + i * length, panelB.data + j * length, tile);
                    for (int64_t c = 0; c < std::min(tileColumns, columns - j); c++) {
                        float *to = sums + (j + c) * sumsLeadingDimension + row + i;
                        for (int64_t r = 0; r < std::min(tileRows, rows - i); r++) {
                            to[r] += tile[c * tileRows + r];
                        }
                    }
                }
            }
        }
    }
}

void finish(const Product &x, int64_t column, int64_t columns, const float *sums, int64_t sumsLeadingDimension) {
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = 0; i < x.m; i++) {
            float value = x.alpha * sums[j * sumsLeadingDimension + i];
            if (x.beta != 0) {
                value += x.beta * load(x.c.data, x.c.type, (column + j) * x.c.leadingDimension + i);
            }
            if (x.bias != nullptr) {
                value += load(x.bias, x.dType, i);
            }
            store(x.d, x.dType, (column + j) * x.dLeadingDimension + i, value);
        }
    }
}

}  // namespace

void compute(const Product &x) {
    if (x.partials != nullptr) {
        float *const second = x.partials + x.m * x.n;
        for (int64_t column = 0; column < x.n; column += columnBlock) {
            const int64_t columns = std::min(columnBlock, x.n - column);
            sumColumns(x, 0, x.k / 2, column, columns, x.partials + column * x.m, x.m);
            sumColumns(x, x.k / 2, x.k, column, columns, second + column * x.m, x.m);
        }
        for (int64_t i = 0; i < x.m * x.n; i++) {
            x.partials[i] += second[i];
        }
        finish(x, 0, x.n, x.partials, x.m);
        return;
    }
    std::vector<float> sums(static_cast<size_t>(x.m * std::min(columnBlock, x.n)));
    for (int64_t column = 0; column < x.n; column += columnBlock) {
        const int64_t columns = std::min(columnBlock, x.n - column);
        sumColumns(x, 0, x.k, column, columns, sums.data(), x.m);
        finish(x, column, columns, sums.data(), x.m);
    }
}

}  // namespace product
