// Causal attention inside patches (the local model), forward and backward; sequences of 1 to 64 positions, very many.
//
// qkv, dQkv [patches * P, (heads + 2 * keyValueHeads) * h]   queries, then keys, then values
// out, dOut [patches * P, heads * h]   lse F32 [patches, heads, P], log-sum-exp of the scores in nats
// The queries of all heads that share a key/value head are the rows of one tile, whose keys and values are loaded once;
// several patches of fewer than 8 (16, 32) positions share a tile (local_attention/tile.cuh). Backward computes the
// scores again from lse, and sum(out * dOut) itself. Three ways, chosen by LocalAttentionKernels.java:
//
//   local_attention_{forward,backward}_warp_{8,16}_{32,64,128}_bf16    P up to 8 or 16: a tile in a warp's registers,
//       16-byte loads that are operands of mma at once, no shared memory, no barrier (local_attention/warp.cuh).
//       Grid keyValueHeads * ceil(tiles / 4), the head running fastest; block 128.
//   local_attention_{forward,backward}_block_{32,64}_{32,64,128}_bf16  P up to 32 or 64: keys and values in shared
//       memory, mma (local_attention/block.cuh). Grid keyValueHeads * tiles; block 128, backward 2 * keys; dynamic
//       shared memory 4 * (keys + 32) * size bytes, backward 4 * (keys + 32) * size + 80 * keys.
//   local_attention_{forward,backward}_cores_..._{f32,bf16}            everything: float32 arithmetic
//       (local_attention/cores.cuh), tiles of 8 keys at least. Grid keyValueHeads * tiles; block 4 * keys, keys rounded
//       up to a multiple of 8; dynamic shared memory: see there. Elements four at a time where alignment allows.
// The first two take head sizes that are multiples of 8 and addresses that are multiples of 16. They use mma for every
// P: it costs nothing to leave the float32 cores free where loads are the limit.
//
// Bytes:  a position moves (bf16, one key/value head) 4h(H + 1) + 4H forward: q 2hH, k and v 4h, out 2hH, lse 4H; and
//         8h(H + 1) + 4H backward: qkv, dQkv, out, dOut, lse. Each touched once.
// FLOPs:  2hH(P + 1) forward, 5hH(P + 1) backward, masked scores not counted. Intensity forward H(P + 1) / (2(H + 1))
//         FLOP a byte: at H = 4, P = 8 3.6, at P = 64 26; an H200 turns at 14 on its float32 cores and at 206 on its
//         tensor cores. What mma is given is more, padding and masked scores included: at P = 8 48hH a position
//         forward, below 1 us for 65,536 positions with H = 4 and h = 64.
// Bound:  bandwidth, everywhere in bf16. 65,536 positions, H = 4, h = 64: forward 85 MB, 20 us at the 4.3 TB/s that a
//         copy reaches on an H200, backward 169 MB, 39 us. Float32 moves twice as much; its products read shared memory
//         three times for eight multiply-adds of a warp, which reaches that bandwidth for P up to about 16.
// Numerics: scores, biases, softmax and all sums in float32. mma takes probabilities and score gradients rounded to
//         bf16. Masked scores never meet exp. Every sum has one owner and a fixed order: heads and rows ascending.
// Source: MEGABYTE sec. 2.2 (arXiv 2305.07185); one key/value head: Shazeer 2019 (arXiv 1911.02150); backward from the
//         log-sum-exp: Dao et al. 2022 (arXiv 2205.14135); ALiBi: Press et al. 2022 (arXiv 2108.12409).

#include "common/platform.cuh"

#include "local_attention/block.cuh"
#include "local_attention/cores.cuh"
#include "local_attention/warp.cuh"

#define PROBLEM_PARAMETERS                                                                                  \
    long long patches, int length, int heads, int key_value_heads, int head_size, int patches_per_tile, float scale, \
        int alibi
#define PROBLEM {patches, length, heads, key_value_heads, head_size, patches_per_tile, scale, alibi}

// One block on a multiprocessor is all that the compiler may count on: it takes the registers that it likes, and no
// kernel spills. How many fit follows from that (native-build/out/kernel-resources.md).
#define FORWARD(name, threads, type, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                                       \
        name(const type* __restrict__ qkv, type* __restrict__ out, float* __restrict__ lse, PROBLEM_PARAMETERS) { \
        local_attention::__VA_ARGS__(qkv, out, lse, PROBLEM);                                                      \
    }                                                                                                              \
    REGISTER_KERNEL(name)

#define BACKWARD(name, threads, type, ...)                                                              \
    extern "C" __global__ void __launch_bounds__(threads, 1)                                            \
        name(const type* __restrict__ qkv, const type* __restrict__ out, const float* __restrict__ lse, \
             const type* __restrict__ d_out, type* __restrict__ d_qkv, PROBLEM_PARAMETERS) {            \
        local_attention::__VA_ARGS__(qkv, out, lse, d_out, d_qkv, PROBLEM);                             \
    }                                                                                                   \
    REGISTER_KERNEL(name)

#define WARP_FORWARD(keys, size) \
    FORWARD(local_attention_forward_warp_##keys##_##size##_bf16, 128, bf16, forward_warp<keys, size>)
#define WARP_BACKWARD(keys, size) \
    BACKWARD(local_attention_backward_warp_##keys##_##size##_bf16, 128, bf16, backward_warp<keys, size>)

WARP_FORWARD(8, 32);
WARP_FORWARD(8, 64);
WARP_FORWARD(8, 128);
WARP_FORWARD(16, 32);
WARP_FORWARD(16, 64);
WARP_FORWARD(16, 128);
WARP_BACKWARD(8, 32);
WARP_BACKWARD(8, 64);
WARP_BACKWARD(8, 128);
WARP_BACKWARD(16, 32);
WARP_BACKWARD(16, 64);

#define BLOCK_FORWARD(keys, size) \
    FORWARD(local_attention_forward_block_##keys##_##size##_bf16, 128, bf16, forward_block<keys, size>)
#define BLOCK_BACKWARD(keys, size) \
    BACKWARD(local_attention_backward_block_##keys##_##size##_bf16, 2 * keys, bf16, backward_block<keys, size>)

BLOCK_FORWARD(32, 32);
BLOCK_FORWARD(32, 64);
BLOCK_FORWARD(32, 128);
BLOCK_FORWARD(64, 32);
BLOCK_FORWARD(64, 64);
BLOCK_FORWARD(64, 128);
BLOCK_BACKWARD(32, 32);
BLOCK_BACKWARD(32, 64);
BLOCK_BACKWARD(32, 128);
BLOCK_BACKWARD(64, 32);
BLOCK_BACKWARD(64, 64);
BLOCK_BACKWARD(64, 128);

FORWARD(local_attention_forward_cores_f32, 256, float, forward_cores);
FORWARD(local_attention_forward_cores_bf16, 256, bf16, forward_cores);
// The number is the longest head.
BACKWARD(local_attention_backward_cores_64_f32, 256, float, backward_cores<float, 4>);
BACKWARD(local_attention_backward_cores_128_f32, 256, float, backward_cores<float, 8>);
BACKWARD(local_attention_backward_cores_64_bf16, 256, bf16, backward_cores<bf16, 4>);
BACKWARD(local_attention_backward_cores_128_bf16, 256, bf16, backward_cores<bf16, 8>);
