// Causal attention over long sequences (the patches of the global model), forward and backward.
//
// qkv, d_qkv [batch * length, (heads + 2 * kv) * h]   rows of query heads, key heads, value heads, side by side
// out, d_out [batch * length, heads * h]              log_sum_exp, delta float32 [batch, heads, length], nats
// kv key/value heads, G = heads / kv query heads for each; h = 1..128, computed as D = 16, 32, 64 or 128 with zeros.
// scores = q.k / sqrt(h) - m (i - j) for j <= i (ALiBi; m = 0 without), out = softmax(scores) v.
//
// Launch (tuning.cuh has the tiles, PatchAttentionTiles.java the same ones for the host). g of the G heads are packed:
//   norms, reach              grid batch * ceil(length / 256), then batch * heads; only where heads look back less far
//   forward, backward_query   grid ceil(length * g / rows) * groups, with groups = batch * heads / g and split = G / g:
//                             a block per tile of packed rows
//   backward_key              grid [ceil(length / keys) * batch * kv, blocks that share a tile of keys]
//   sum_partial_gradients     grid batch * length, only where blocks share a tile
// backward_query comes before backward_key, which reads its delta. Blocks with the most work start first.
//
// How it goes. g query heads that share a key/value head are rows of one tile: row r is head r % g at position r / g,
// so one load of keys and values serves all of them, and with g = 16 a tile of 128 rows covers 8 positions, of which
// the diagonal wastes less than one of 128 would. g is G, unless sequences are so long that ALiBi's steep heads see
// only a small part of them (reach.cuh): then fewer heads share a tile, down to one, and each goes back only as far as
// it looks. The host chooses g by counting tiles (PatchAttentionPlan). Keys and values come through a ring of stages by
// cp.async; one barrier a stage. Keys after the last row are never loaded, only tiles on the diagonal are masked, and
// of these, steps of 16 keys that a warp's rows cannot see are skipped. Products run on tensor cores (mma m16n8k16),
// their operands come by ldmatrix from tiles swizzled so that no access meets a bank conflict (tile.cuh); scores,
// probabilities and sums stay in registers, and nothing of length x length is ever in memory.
//
// FLOPs: with S = batch * heads * length * (length + 1) / 2 visible scores (fewer where heads look back less far),
// forward 4 h S, backward 14 h S (scores and dP are computed in both of its halves: 10 h S would do with atomics in an
// order of their own). 1 exp2 per score and pass. Bytes at least: forward reads qkv, writes out; backward reads qkv
// twice, d_out twice, out, writes d_qkv. Keys and values are read again for each tile of rows, mostly from L2: 4 h
// bytes of bf16 per key and 128 rows, 128 FLOP per byte forward; backward_key reads 4 h bytes per row and 128 keys, 256
// FLOP per byte.
//
// Numerics: bf16 operands, float32 sums, scores in units of log2 in float32, one rounding of their bias, computed from
// i - j and not from i and j, which would lose it at position one million. Online softmax; the largest score is
// subtracted after rounding, so no exponent is above 0; masked entries never touch exp2. log_sum_exp = max + log(sum).
// Backward rounds P and dS to bf16 for the tensor cores. Sums run in an order fixed by the shape. float32 inputs: the
// same in float32 multiply-adds (float32.cuh), no tensor cores.
//
// Source: FlashAttention (Dao 2022, arXiv 2205.14135), loop order of FlashAttention-2 (arXiv 2307.08691), online
// softmax (Milakov 2018, arXiv 1805.02867), one key/value head (Shazeer 2019, arXiv 1911.02150), ALiBi (Press 2022,
// arXiv 2108.12409).

#include "common/platform.cuh"
#include "patch_attention/backward_key.cuh"
#include "patch_attention/backward_query.cuh"
#include "patch_attention/float32.cuh"
#include "patch_attention/forward.cuh"
#include "patch_attention/partial_gradients.cuh"
#include "patch_attention/reach.cuh"

#define ENTRY(BLOCK, NAME) extern "C" __global__ void __launch_bounds__(BLOCK::THREADS, BLOCK::BLOCKS) NAME

#define FORWARD(D, T, NAME, BLOCK, COMPUTE)                                                                           \
    ENTRY(BLOCK, NAME)(const T* qkv, T* out, float* log_sum_exp, int length, int heads, int key_value_heads,          \
                       int head_size, int groups, int split, const int* reach, int alibi, float scale) {              \
        COMPUTE(qkv, out, log_sum_exp, length, heads, key_value_heads, head_size, groups, split, reach, alibi,        \
                scale);                                                                                               \
    }                                                                                                                 \
    REGISTER_KERNEL(NAME)

#define BACKWARD_QUERY(D, T, NAME, BLOCK, COMPUTE)                                                                    \
    ENTRY(BLOCK, NAME)(const T* qkv, const T* out, const float* log_sum_exp, const T* d_out, float* delta, T* d_qkv,  \
                       int length, int heads, int key_value_heads, int head_size, int groups, int split,              \
                       const int* reach, int alibi, float scale) {                                                    \
        COMPUTE(qkv, out, log_sum_exp, d_out, delta, d_qkv, length, heads, key_value_heads, head_size, groups, split, \
                reach, alibi, scale);                                                                                 \
    }                                                                                                                 \
    REGISTER_KERNEL(NAME)

// workspace: delta, and from element `partials_at` on the sums of blocks that share a tile of keys.
#define BACKWARD_KEY(D, T, NAME, BLOCK, COMPUTE)                                                                      \
    ENTRY(BLOCK, NAME)(const T* qkv, const float* log_sum_exp, const T* d_out, float* workspace, T* d_qkv,            \
                       long long partials_at, long long chunk, int length, int heads, int key_value_heads,            \
                       int head_size, int pairs, const int* reach, int alibi, float scale) {                          \
        COMPUTE(qkv, log_sum_exp, d_out, workspace, d_qkv, partials_at, chunk, length, heads, key_value_heads,        \
                head_size, pairs, reach, alibi, scale);                                                               \
    }                                                                                                                 \
    REGISTER_KERNEL(NAME)

// The forward kernel without a bias is one of its own: there the bias would be an eighth of the instructions.
#define BF16(D)                                                                                                       \
    FORWARD(D, bf16, patch_attention_forward_##D##_bf16, ForwardBlock<D>, (attention_forward<D, false>));             \
    FORWARD(D, bf16, patch_attention_forward_##D##_alibi_bf16, ForwardBlock<D>, (attention_forward<D, true>));        \
    BACKWARD_QUERY(D, bf16, patch_attention_backward_query_##D##_bf16, BackwardQueryBlock<D>,                         \
                   attention_backward_query<D>);                                                                      \
    BACKWARD_KEY(D, bf16, patch_attention_backward_key_##D##_bf16, BackwardKeyBlock<D>, attention_backward_key<D>)

template <int D>
using WideForwardBlock = ForwardBlock<D, true>;
template <int D>
using WideBackwardKeyBlock = BackwardKeyBlock<D, true>;

#define WIDE_FORWARD(D)                                                                                               \
    FORWARD(D, bf16, patch_attention_forward_##D##_wide_bf16, WideForwardBlock<D>,                                    \
            (attention_forward<D, false, true>));                                                                     \
    FORWARD(D, bf16, patch_attention_forward_##D##_wide_alibi_bf16, WideForwardBlock<D>,                              \
            (attention_forward<D, true, true>))

#define FLOAT32(D)                                                                                                    \
    FORWARD(D, float, patch_attention_forward_##D##_f32, Float32Tile, attention_forward_f32<D>);                      \
    BACKWARD_QUERY(D, float, patch_attention_backward_query_##D##_f32, Float32Tile, attention_backward_query_f32<D>); \
    BACKWARD_KEY(D, float, patch_attention_backward_key_##D##_f32, Float32Tile, attention_backward_key_f32<D>)

#define SUM_PARTIAL_GRADIENTS(T, NAME)                                                                                \
    extern "C" __global__ void __launch_bounds__(128)                                                                 \
        NAME(const float* workspace, T* d_qkv, long long partials_at, long long chunk, int length, int group,         \
             int width, int packed_width, int keys, int rows) {                                                       \
        sum_partial_gradients(workspace + partials_at, d_qkv, chunk, length, group, width, packed_width, keys, rows); \
    }                                                                                                                 \
    REGISTER_KERNEL(NAME)

#define NORMS(T, NAME)                                                                                                \
    extern "C" __global__ void __launch_bounds__(REACH_THREADS)                                                       \
        NAME(const T* qkv, float* norms, int length, int heads, int head_size, int packed_width) {                    \
        largest_norms(qkv, norms, length, heads, head_size, packed_width);                                            \
    }                                                                                                                 \
    REGISTER_KERNEL(NAME)

extern "C" __global__ void __launch_bounds__(REACH_THREADS)
    patch_attention_reach(const float* norms, int* reach, int length, int heads, int key_value_heads, float scale) {
    find_reach(norms, reach, length, heads, key_value_heads, scale);
}
REGISTER_KERNEL(patch_attention_reach);

NORMS(bf16, patch_attention_norms_bf16);
NORMS(float, patch_attention_norms_f32);
BF16(16);
BF16(32);
BF16(64);
BF16(128);
WIDE_FORWARD(64);
WIDE_FORWARD(128);
BACKWARD_KEY(64, bf16, patch_attention_backward_key_64_wide_bf16, WideBackwardKeyBlock<64>,
             (attention_backward_key<64, true>));
FLOAT32(32);
FLOAT32(64);
FLOAT32(128);
SUM_PARTIAL_GRADIENTS(bf16, patch_attention_sum_partial_gradients_bf16);
SUM_PARTIAL_GRADIENTS(float, patch_attention_sum_partial_gradients_f32);
