// Attention inside patches with all that surrounds it, in bf16: LayerNorm, queries, keys and values, causal attention
// with one key/value head, output projection, residual connection; and its backward.
//
// x, out, d, dOut, normed [rows, D], rows = patches * P   qkv, dQkv [rows, (H + 2) * 64]   attended [rows, H * 64]
// to_qkv [(H + 2) * 64, D]   to_out [D, H * 64]   mean, rstd F32 [rows]
//   forward   out = x + attention(norm(x) to_qkv^T) to_out^T; keeps qkv, attended, mean, rstd (or not: null)
//   backward  d += LayerNorm's backward of dQkv to_qkv, dQkv from d to_out; for the matrices' gradients by dense
//             products (dQkv^T normed, dOut^T attended) those three; sums of LayerNorm's gradients
//   D = 64, 128 or 256; heads of size 64, at most D / 64; P = 1, 2, 4, 8 or 16
// Probabilities are computed again in backward with their own softmax, so neither log-sum-exp nor attended are read.
//
// Launch: a block of 256 threads per 128 rows. Dynamic shared memory (bytes): forward 640 D, backward
//         512 D + 16384 (H + 2): 160 and 224 KB at D = 256, H = 4.
// Bytes:  forward 4 D + 8 per row and 128 (2 H + 2) that are kept; backward 10 D + 256 (H + 2) + 8. Weights from the
//         second-level cache, 128 D (2 H + 2) per 128 rows, as is x when it is read again.
// FLOPs:  forward 128 D (2 H + 2) per row, and 256 H (P + 1) of attention; backward the same and 2.5 times that. At
//         D = 256, H = 4, 65,536 rows: 22 GFLOP each; forward 151 MB, 68 MB without backward, step by step 336 MB;
//         backward 269 MB and 151 MB of the dense products, step by step 671 MB; weights 168 MB each.
// Shared memory: 320 and 256 bytes an mma where a warp has 16 rows, 2.3 of the cycles that it has at 128 bytes a cycle.
// Numerics: float32 sums, softmax and statistics; operands of mma are bf16, and what is kept is what was operand.
// Source: MEGABYTE sec. 2.2 (arXiv 2305.07185); one key/value head: Shazeer 2019 (arXiv 1911.02150); results as
//         operands without a way through memory: Dao 2023 (arXiv 2307.08691).

#include "common/platform.cuh"

#include "self_attention/backward.cuh"
#include "self_attention/forward.cuh"

#define LAYER_PARAMETERS                                                                                     \
    const bf16 *norm, const bf16 *norm_bias, const bf16 *to_qkv, const bf16 *to_out, int heads, long long rows, \
        int length, float scale, float slope_step
#define LAYER {norm, norm_bias, to_qkv, to_out, heads}, {rows, length, scale, slope_step}

#define SELF_ATTENTION(D)                                                                                        \
    extern "C" __global__ void __launch_bounds__(LAYER_THREADS, 1)                                               \
        self_attention_##D##_bf16(LAYER_PARAMETERS, bf16* qkv, bf16* attended, const bf16* x, bf16* out,         \
                                  float* mean, float* rstd, float epsilon) {                                     \
        self_attention::forward<D>(LAYER, qkv, attended, x, out, mean, rstd, epsilon);                           \
    }                                                                                                            \
    REGISTER_KERNEL(self_attention_##D##_bf16);                                                                  \
    extern "C" __global__ void __launch_bounds__(LAYER_THREADS, 1)                                               \
        self_attention_backward_##D##_bf16(LAYER_PARAMETERS, const bf16* qkv, const bf16* x, const float* mean,  \
                                           const float* rstd, bf16* d, bf16* d_qkv, bf16* normed, bf16* d_out,   \
                                           float* sums) {                                                        \
        self_attention::backward<D>(LAYER, qkv, x, mean, rstd, d, {d_qkv, normed, d_out, sums});                 \
    }                                                                                                            \
    REGISTER_KERNEL(self_attention_backward_##D##_bf16)

SELF_ATTENTION(64);
SELF_ATTENTION(128);
SELF_ATTENTION(256);
