#include "common/platform.cuh"
#include "patch_attention/backward_key.cuh"
#include "patch_attention/backward_query.cuh"
#include "patch_attention/float32.cuh"
#include "patch_attention/forward.cuh"
#include "patch_attention/partial_gradients.cuh"

#define FORWARD(D, SUFFIX, ALIBI)                                                                                     \
    extern "C" __global__ void __launch_bounds__(ForwardBlock<D>::THREADS, ForwardBlock<D>::BLOCKS)                    \
        patch_attention_forward_##D##SUFFIX##_bf16(const bf16* qkv, bf16* out, float* log_sum_exp, int length,         \
                                                   int heads, int key_value_heads, int head_size, int pairs,           \
                                                   float scale) {                                                      \
        attention_forward<D, ALIBI>(qkv, out, log_sum_exp, length, heads, key_value_heads, head_size, pairs, scale);   \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_forward_##D##SUFFIX##_bf16)

#define BACKWARD_QUERY(D)                                                                               \
    extern "C" __global__ void __launch_bounds__(BackwardQueryBlock<D>::THREADS, BackwardQueryBlock<D>::BLOCKS)        \
        patch_attention_backward_query_##D##_bf16(                                                             \
            const bf16* qkv, const bf16* out, const float* log_sum_exp, const bf16* d_out, float* delta, bf16* d_qkv,  \
            int length, int heads, int key_value_heads, int head_size, int pairs, int alibi, float scale) {            \
        attention_backward_query<D>(qkv, out, log_sum_exp, d_out, delta, d_qkv, length, heads, key_value_heads, \
                                           head_size, pairs, alibi, scale);                                            \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_backward_query_##D##_bf16)

#define BACKWARD_KEY(D)                                                                                 \
    extern "C" __global__ void __launch_bounds__(BackwardKeyBlock<D>::THREADS, BackwardKeyBlock<D>::BLOCKS)            \
        patch_attention_backward_key_##D##_bf16(                                                               \
            const bf16* qkv, const float* log_sum_exp, const bf16* d_out, const float* delta, bf16* d_qkv,             \
            float* partial, long long partial_stride, int length, int heads, int key_value_heads, int head_size,       \
            int pairs, int alibi, float scale) {                                                                       \
        attention_backward_key<D>(qkv, log_sum_exp, d_out, delta, d_qkv, partial, partial_stride, length,       \
                                         heads, key_value_heads, head_size, pairs, alibi, scale);                      \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_backward_key_##D##_bf16)

#define FLOAT32(D)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(Float32Tile::THREADS, Float32Tile::BLOCKS) patch_attention_forward_##D##_f32(              \
        const float* qkv, float* out, float* log_sum_exp, int length, int heads, int key_value_heads, int head_size,   \
        int pairs, int alibi, float scale) {                                                                           \
        attention_forward_f32<D>(qkv, out, log_sum_exp, length, heads, key_value_heads, head_size, pairs, alibi,       \
                                 scale);                                                                               \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_forward_##D##_f32);                                                                \
    extern "C" __global__ void __launch_bounds__(Float32Tile::THREADS, Float32Tile::BLOCKS) patch_attention_backward_query_##D##_f32(       \
        const float* qkv, const float* out, const float* log_sum_exp, const float* d_out, float* delta, float* d_qkv,  \
        int length, int heads, int key_value_heads, int head_size, int pairs, int alibi, float scale) {                \
        attention_backward_query_f32<D>(qkv, out, log_sum_exp, d_out, delta, d_qkv, length, heads, key_value_heads,    \
                                        head_size, pairs, alibi, scale);                                               \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_backward_query_##D##_f32);                                                         \
    extern "C" __global__ void __launch_bounds__(Float32Tile::THREADS, Float32Tile::BLOCKS) patch_attention_backward_key_##D##_f32(         \
        const float* qkv, const float* log_sum_exp, const float* d_out, const float* delta, float* d_qkv,              \
        float* partial, long long partial_stride, int length, int heads, int key_value_heads, int head_size,           \
        int pairs, int alibi, float scale) {                                                                           \
        attention_backward_key_f32<D>(qkv, log_sum_exp, d_out, delta, d_qkv, partial, partial_stride, length, heads,   \
                                      key_value_heads, head_size, pairs, alibi, scale);                                \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_backward_key_##D##_f32)

#define BF16(D)                \
    FORWARD(D, , false);       \
    FORWARD(D, _alibi, true);  \
    BACKWARD_QUERY(D);         \
    BACKWARD_KEY(D)

#ifndef ONLY
BF16(16);
BF16(32);
BF16(64);
BF16(128);
FLOAT32(32);
FLOAT32(64);
FLOAT32(128);
#elif defined ONLY_F32
FLOAT32(ONLY);
#else
BF16(ONLY);
#endif

#define SUM_PARTIAL_GRADIENTS(T, SUFFIX)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256) patch_attention_sum_partial_gradients_##SUFFIX(                       \
        const float* partial, T* d_qkv, long long rows, int width, int packed_width, int splits) {                     \
        sum_partial_gradients<T>(partial, d_qkv, rows, width, packed_width, splits);                                   \
    }                                                                                                                  \
    REGISTER_KERNEL(patch_attention_sum_partial_gradients_##SUFFIX)

SUM_PARTIAL_GRADIENTS(bf16, bf16);
SUM_PARTIAL_GRADIENTS(float, f32);
