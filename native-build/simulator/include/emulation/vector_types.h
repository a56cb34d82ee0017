// CUDA's vector types, with its sizes and alignments.

#pragma once

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;

    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#define EMULATION_VECTORS(type, name, align2, align4)                        \
    struct alignas(align2) name##2 {                                         \
        type x, y;                                                           \
    };                                                                       \
    struct name##3 {                                                         \
        type x, y, z;                                                        \
    };                                                                       \
    EMULATION_MAKE(type, name, align2, align4)
#define EMULATION_MAKE(type, name, align2, align4)                           \
    struct alignas(align4) name##4 {                                         \
        type x, y, z, w;                                                     \
    };                                                                       \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }         \
    inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; } \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

EMULATION_VECTORS(float, float, 8, 16)
EMULATION_VECTORS(double, double, 16, 16)
EMULATION_VECTORS(int, int, 8, 16)
EMULATION_VECTORS(short, short, 4, 8)
EMULATION_VECTORS(unsigned short, ushort, 4, 8)
EMULATION_VECTORS(long long, longlong, 16, 16)
EMULATION_VECTORS(unsigned long long, ulonglong, 16, 16)

struct alignas(8) uint2 {
    unsigned x, y;
};
EMULATION_MAKE(unsigned, uint, 8, 16)

#undef EMULATION_VECTORS
#undef EMULATION_MAKE
