// placeholder header
#include "common/platform.cuh"

#include "local_attention_block.cuh"
#include "local_attention_cores.cuh"
#include "local_attention_warp.cuh"

#define PROBLEM_PARAMETERS                                                                                        \
    long long patches, int length, int heads, int key_value_heads, int head_size, int patches_per_tile, float scale, \
        int alibi
#define PROBLEM {patches, length, heads, key_value_heads, head_size, patches_per_tile, scale, alibi}

#define FORWARD(name, threads, type, call)                                                             \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                              \
        name(const type* __restrict__ qkv, type* __restrict__ out, float* __restrict__ lse, PROBLEM_PARAMETERS) { \
        call(qkv, out, lse, PROBLEM);                                                                  \
    }                                                                                                  \
    REGISTER_KERNEL(name)

#define BACKWARD(name, threads, type, ...)                                                                    \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                                     \
        name(const type* __restrict__ qkv, const type* __restrict__ out, const float* __restrict__ lse,       \
             const type* __restrict__ d_out, type* __restrict__ d_qkv, PROBLEM_PARAMETERS) {                  \
        __VA_ARGS__(qkv, out, lse, d_out, d_qkv, PROBLEM);                                                    \
    }                                                                                                         \
    REGISTER_KERNEL(name)

#define WARP_KERNELS(keys, size)                                                                                  \
    FORWARD(local_attention_forward_warp_##keys##_##size##_bf16, 128, bf16, (local_attention::forward<keys, size>)); \
    BACKWARD(local_attention_backward_warp_##keys##_##size##_bf16, 128, bf16, local_attention::backward<keys, size>)

WARP_KERNELS(8, 32);
WARP_KERNELS(8, 64);
WARP_KERNELS(8, 128);
WARP_KERNELS(16, 32);
WARP_KERNELS(16, 64);
FORWARD(local_attention_forward_warp_16_128_bf16, 128, bf16, (local_attention::forward<16, 128>));

#define BLOCK_KERNELS(keys, size)                                                                                     \
    FORWARD(local_attention_forward_block_##keys##_##size##_bf16, 128, bf16, (local_attention::forward_block<keys, size>)); \
    BACKWARD(local_attention_backward_block_##keys##_##size##_bf16, 2 * keys, bf16, local_attention::backward_block<keys, size>)

BLOCK_KERNELS(32, 32);
BLOCK_KERNELS(32, 64);
BLOCK_KERNELS(32, 128);
BLOCK_KERNELS(64, 32);
BLOCK_KERNELS(64, 64);
BLOCK_KERNELS(64, 128);

FORWARD(local_attention_forward_cores_f32, 256, float, local_attention::forward_cores);
FORWARD(local_attention_forward_cores_bf16, 256, bf16, local_attention::forward_cores);
BACKWARD(local_attention_backward_cores_64_f32, 256, float, local_attention::backward_cores<float, 4>);
BACKWARD(local_attention_backward_cores_128_f32, 256, float, local_attention::backward_cores<float, 8>);
BACKWARD(local_attention_backward_cores_64_bf16, 256, bf16, local_attention::backward_cores<bf16, 4>);
BACKWARD(local_attention_backward_cores_128_bf16, 256, bf16, local_attention::backward_cores<bf16, 8>);
