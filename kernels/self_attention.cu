// Attention inside patches with all that surrounds it, forward, in bf16: LayerNorm, queries, keys and values, causal
// attention with one key/value head, output projection, residual connection.
//
// x, out [rows, D], rows = patches * P   to_qkv [(H + 2) * 64, D]   to_out [D, H * 64]   mean, rstd F32 [rows]
// kept for backward, which runs step by step: qkv [rows, (H + 2) * 64], attended [rows, H * 64], lse F32 [patches, H, P]
//   out = x + attention(norm(x) to_qkv^T) to_out^T          D = 64, 128 or 256; heads of size 64; P = 1, 2, 4, 8 or 16
//
// Launch: a block of 256 threads per 128 rows; dynamic shared memory 640 D bytes, 160 KB at D = 256.
// Bytes:  4 D + 8 per row, for backward 2 * (2 H + 2) * 64 + 4 H more; x is read again at the end, mostly from the
//         second-level cache, as are the weights, 2 * (2 H + 2) * 64 * D per 128 rows.
// FLOPs:  2 * 64 * D * (2 H + 2) per row, and 2 * 64 H (P + 1) of attention. At D = 256, H = 4, 65,536 rows: 22 GFLOP
//         and 152 MB, or 68 MB without backward; weights 168 MB from the second-level cache. Step by step it is 336 MB.
// Shared memory: 320 bytes an mma for the projections in, 256 for those out: 2.3 of the cycles that it has at 128 bytes
//         a cycle, since a warp's 16 rows are all that it has in common with nobody.
// Numerics: float32 sums, softmax and statistics; operands of mma are bf16, and what is kept is what was operand.
// Source: MEGABYTE sec. 2.2 (arXiv 2305.07185); one key/value head: Shazeer 2019 (arXiv 1911.02150); results as operands
//         without a way through memory: Dao 2023 (arXiv 2307.08691).

#include "common/platform.cuh"

#include "self_attention/forward.cuh"

#define SELF_ATTENTION(D)                                                                                         \
    extern "C" __global__ void __launch_bounds__(LAYER_THREADS, 1)                                                \
        self_attention_##D##_bf16(const bf16* norm, const bf16* norm_bias, const bf16* to_qkv, const bf16* to_out, \
                                  int heads, bf16* qkv, bf16* attended, float* lse, const bf16* x, bf16* out,     \
                                  float* mean, float* rstd, long long rows, int length, float scale,              \
                                  float slope_step, float epsilon) {                                              \
        self_attention::forward<D>({norm, norm_bias, to_qkv, to_out, heads}, {qkv, attended, lse}, x, out, mean,  \
                                   rstd, rows, length, scale, slope_step, epsilon);                               \
    }                                                                                                             \
    REGISTER_KERNEL(self_attention_##D##_bf16)

SELF_ATTENTION(64);
SELF_ATTENTION(128);
SELF_ATTENTION(256);
