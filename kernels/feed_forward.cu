// A feed-forward layer at once, in bf16: LayerNorm, Linear, exact GELU, Linear and the residual connection for a tile
// of rows, whose hidden activations never leave the chip; and its backward, which computes them again from x.
//
// x, out, d, dOut, normed [rows, D]   activated, dHidden [rows, hidden]   mean, rstd F32 [rows]
// norm, norm's bias [D]   W1 [hidden, D], b1 [hidden]   W2 [D, hidden], b2 [D]
//   D is 64, 128 or 256, hidden a multiple of 64
//   forward   out = x + gelu(norm(x) W1^T + b1) W2^T + b2; keeps mean and rstd
//   backward  dHidden = (d W2) gelu'(norm(x) W1^T + b1), d += LayerNorm's backward of dHidden W1
//             and, for the matrices' gradients by dense products (dW1 = dHidden^T normed, dW2 = dOut^T activated),
//             those four; sums over rows of dHidden and d, and of LayerNorm's gradients, are added to the vectors'
// The gradients of matrices are sums over all rows: computed here, a block's part of them would be 2 * hidden * D
// float32 sums, 2 MB at D = 256, as many bytes as it writes for its rows now, and no block has the registers for them.
//
// Launch: a block of 256 threads per 128 rows. Dynamic shared memory (bytes): forward 2 (320 D + 16384), backward
//         2 (416 D + 8192); 192 and 224 KB at D = 256, so H100 and H200. feed_forward_add_sums: block 1024, grid
//         ceil((3 D + hidden) / 32).
// Bytes:  forward 4 D + 8 per row, and 2 * 2 * hidden * D of weights from the second-level cache per 128 rows. Backward
//         10 D + 4 hidden + 8, weights as forward; both read x a second time, from that cache as well.
// FLOPs:  forward 4 hidden D per row, backward 6 hidden D, GELU 25 and 30 per hidden element. At D = 256 and hidden =
//         1024, 65,536 rows: forward 69 GFLOP and 68 MB, backward 103 GFLOP and 436 MB; 0.5 GB of weights from the
//         second-level cache each, which at 5.5 TB/s is 98 us. The products are 115 and 172 us at 600 TFLOP/s, which
//         mma.sync may reach of an H100's 989. So fewer rows a block would make the weights the limit.
// Shared memory: a step of 16 of the products reads 256 bytes an mma for the hidden columns, 160 for the others: 1.6 of
//         the cycles that it has at 128 bytes a cycle forward, 1.75 backward.
// Numerics: float32 sums and GELU; operands of mma are bf16: the normalised rows, activations, dHidden; gelu' is
//         rounded to bf16 as well, the hidden elements never. Every sum has one owner and a fixed order.
// Source: the layer is the reference's; keeping the hidden activations on the chip as FlashAttention does its scores
//         (Dao et al. 2022, arXiv 2205.14135).

#include "common/platform.cuh"

#include "feed_forward/backward.cuh"
#include "feed_forward/forward.cuh"

#define WEIGHT_PARAMETERS                                                                                      \
    const bf16 *norm, const bf16 *norm_bias, const bf16 *expand, const bf16 *expand_bias, const bf16 *contract, \
        const bf16 *contract_bias, int hidden
#define WEIGHTS {norm, norm_bias, expand, expand_bias, contract, contract_bias, hidden}

#define FEED_FORWARD(D)                                                                                         \
    extern "C" __global__ void __launch_bounds__(LAYER_THREADS, 1)                                              \
        feed_forward_##D##_bf16(WEIGHT_PARAMETERS, const bf16* x, bf16* out, float* mean, float* rstd,          \
                                long long rows, float epsilon) {                                                \
        feed_forward::forward<D>(WEIGHTS, x, out, mean, rstd, rows, epsilon);                                   \
    }                                                                                                           \
    REGISTER_KERNEL(feed_forward_##D##_bf16);                                                                   \
    extern "C" __global__ void __launch_bounds__(LAYER_THREADS, 1)                                              \
        feed_forward_backward_##D##_bf16(WEIGHT_PARAMETERS, const bf16* x, const float* mean, const float* rstd, \
                                         bf16* d, bf16* normed, bf16* activated, bf16* d_hidden, bf16* d_out,   \
                                         float* sums, long long rows) {                                         \
        feed_forward::backward<D>(WEIGHTS, x, mean, rstd, d, {normed, activated, d_hidden, d_out, sums}, rows); \
    }                                                                                                           \
    REGISTER_KERNEL(feed_forward_backward_##D##_bf16)

FEED_FORWARD(64);
FEED_FORWARD(128);
FEED_FORWARD(256);

extern "C" __global__ void __launch_bounds__(SUM_COLUMNS * SUM_GROUPS)
    feed_forward_add_sums(const float* sums, long long blocks, int dim, int hidden, float* d_norm, float* d_norm_bias,
                          float* d_contract_bias, float* d_expand_bias) {
    feed_forward::add_sums(sums, blocks, dim, hidden, d_norm, d_norm_bias, d_contract_bias, d_expand_bias);
}
REGISTER_KERNEL(feed_forward_add_sums);
