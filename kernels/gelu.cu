// Exact (erf) GELU with the bias of the Linear layer before it, and its backward, which computes the forward again.
//
//   forward   preActivation += bias (if there is one), activated = gelu(preActivation)  [rows, columns], bias [columns]
//   backward  dX = dActivated gelu'(preActivation), activated = gelu(preActivation)         by element
//   gelu(x) = x Phi(x),  gelu'(x) = Phi(x) + x phi(x),  Phi and phi of the standard normal distribution
//
// Outputs may be inputs. GELU is taken of the pre-activation as it is stored, so that it is the same bits when computed
// again.
// Launch: a thread per 16 bytes, four times: grid ceil(elements / (1024 N)), N = 8 for bf16, 4 for float32; block 256.
// Bytes:  forward 2 T per element (3 with a bias), backward 4 T.
// FLOPs:  about 25 and 30 per element, some 20 and 25 instructions. An H200 moves the 2 T = 4 bytes of bf16 in the time
//         of 24 instructions, so erff or erfcf, at twice as many, would be the limit.
// Numerics: float32. Phi(-a) = phi(a) R(a) for a >= 0, where R is Mills' ratio as a polynomial of degree 8 in
//         t = 1 / (1 + 0.3 a) without constant term, its relative error below 2e-7: so nothing cancels in the lower
//         tail, where GELU itself is -a Phi(-a). The relative error of the result is below 1e-6 + x^2 2^-23, the
//         second term from rounding x^2 / 2; where phi is subnormal (|x| > 13), Phi is 0 or 1.
// Source: Hendrycks and Gimpel 2016 (arXiv 1606.08415); Mills' ratio, Abramowitz and Stegun 26.2.

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/elements.cuh"
#include "common/normal.cuh"

// ---- forward

template <class T, bool BIAS>
struct Gelu {
    T* preActivation;
    const T* bias;
    T* activated;
    RowsOfBlock rows;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int offset) const {
        float x[N];
        load_floats(preActivation + at, x);
        if (BIAS) {
            float added[N];
            load_floats(bias + rows.column_of(offset), added);
#pragma unroll
            for (int k = 0; k < N; k++) x[k] = to_float(from_float<T>(x[k] + added[k]));
            store_floats(preActivation + at, x);
        }
#pragma unroll
        for (int k = 0; k < N; k++) x[k] *= normal(x[k]).distribution;
        store_floats(activated + at, x);
    }
};

template <bool BIAS, class T>
__device__ __forceinline__ void gelu(T* preActivation, const T* bias, T* activated, long long count, int columns) {
    constexpr int N = PACKED<T>;
    RowsOfBlock rows(blockIdx.x * static_cast<long long>(ELEMENTS<N>), columns);
    bool vectors = aligned_16(preActivation) && aligned_16(activated);
    if (BIAS) vectors = vectors && columns % N == 0 && aligned_16(bias);
    for_each_element<N>(count, vectors, Gelu<T, BIAS>{preActivation, bias, activated, rows});
}

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_f32(float* preActivation, float* activated, long long count) {
    gelu<false>(preActivation, static_cast<const float*>(nullptr), activated, count, 1);
}
REGISTER_KERNEL(gelu_f32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_bf16(bf16* preActivation, bf16* activated, long long count) {
    gelu<false>(preActivation, static_cast<const bf16*>(nullptr), activated, count, 1);
}
REGISTER_KERNEL(gelu_bf16);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_bias_f32(float* preActivation, const float* bias, float* activated, long long count, int columns) {
    gelu<true>(preActivation, bias, activated, count, columns);
}
REGISTER_KERNEL(gelu_bias_f32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_bias_bf16(bf16* preActivation, const bf16* bias, bf16* activated, long long count, int columns) {
    gelu<true>(preActivation, bias, activated, count, columns);
}
REGISTER_KERNEL(gelu_bias_bf16);

// ---- backward

template <class T>
struct GeluBackward {
    const T* preActivation;
    const T* dActivated;
    T* dX;
    T* activated;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int) const {
        float x[N];
        float gradient[N];
        load_floats(preActivation + at, x);
        load_floats(dActivated + at, gradient);
#pragma unroll
        for (int k = 0; k < N; k++) {
            Normal value = normal(x[k]);
            gradient[k] *= gelu_derivative(x[k], value);
            x[k] *= value.distribution;
        }
        store_floats(dX + at, gradient);
        store_floats(activated + at, x);
    }
};

template <class T>
__device__ __forceinline__ void gelu_backward(const T* preActivation, const T* dActivated, T* dX, T* activated,
                                              long long count) {
    bool vectors = aligned_16(preActivation) && aligned_16(dActivated) && aligned_16(dX) && aligned_16(activated);
    for_each_element<PACKED<T>>(count, vectors, GeluBackward<T>{preActivation, dActivated, dX, activated});
}

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_backward_f32(const float* preActivation, const float* dActivated, float* dX, float* activated,
                      long long count) {
    gelu_backward(preActivation, dActivated, dX, activated, count);
}
REGISTER_KERNEL(gelu_backward_f32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    gelu_backward_bf16(const bf16* preActivation, const bf16* dActivated, bf16* dX, bf16* activated,
                       long long count) {
    gelu_backward(preActivation, dActivated, dX, activated, count);
}
REGISTER_KERNEL(gelu_backward_bf16);
