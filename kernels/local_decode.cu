// target: compute_90a
// The local model over a patch: all layers and all bytes in one launch, each byte's id chosen before the next one.
//
// slices [batch * P, dim]   table [V, dim]   ->   logits [P, batch, V] float32, results [P, 2, batch]: ids, then faults
// Layers lie `layer_stride` elements apart: a layer's weights are those of the first, so many further on.
//   norms [dim] and biases   qkv [(heads + 2) h, dim]   out [dim, heads h]   expand [4 dim, dim]   contract [dim, 4 dim]
// Operations and roundings to bf16 are those of the operations one by one (embed, layerNorm, linear, cachedAttention,
// linearGelu, sample), which decode what this cannot: see LocalDecodeKernels (Java) for what fits.
//
// A cluster of 1 to 16 blocks has up to 8 sequences. Each block keeps their activations and the patch's keys and values
// whole in its shared memory, computes a part of each product's outputs, and writes it to all others; what is no
// product it computes for itself. Ids are chosen by a block for each sequence, and sent to the others.
// Launch: grid cluster * ceil(batch / rows), clusters of 1 to 16, block 512, dynamic shared memory as Memory needs.
// Barriers: of the cluster, 4 per layer and 2 per byte: (4 layers + 2) P in a launch.
// Bytes:  all matrices once per byte and cluster, mostly from the second-level cache: 2 layers dim ((2 heads + 2) h +
//         8 dim) + 2 V dim. On the chip, for each row and byte, 2 layers ((heads + 2) h + 6 dim) to each other block.
// FLOPs:  2 per weight and row: far below any limit. Time goes to barriers and to the cache: docs/kernels.md.
// Numerics: products bf16 with float32 sums, the inputs' parts added up in order; LayerNorm and attention float32;
//         probabilities stay float32. The order of sums depends on the model alone.
// Source: MEGABYTE sec. 2.2 (arXiv 2305.07185); thread block clusters, PTX ISA.

#include "common/platform.cuh"

#include "common/cluster.cuh"
#include "common/normal.cuh"
#include "common/sampling.cuh"
#include "local_decode/memory.cuh"
#include "local_decode/product.cuh"
#include "local_decode/rows.cuh"

namespace local_decode {

// Two neighbours into the same place of every block.
__device__ __forceinline__ void send(bf16* own, float low, float high) {
    store_in_all_blocks(reinterpret_cast<unsigned*>(own), pack_bf16(low, high));
}

__device__ __forceinline__ float rounded(float value) { return to_float(to_bf16(value)); }

// Copies `count` elements, which begin at a multiple of 16 bytes on both sides.
__device__ __forceinline__ void keep(bf16* to, const bf16* from, int count) {
    int packed = count / 8 * 8;
    for (int i = static_cast<int>(threadIdx.x) * 8; i < packed; i += THREADS * 8) {
        store_pack<8>(to + i, load_pack<8>(from + i));
    }
    for (int i = packed + static_cast<int>(threadIdx.x); i < count; i += THREADS) to[i] = from[i];
}

// The weights of the first layer.
struct Layers {
    const bf16* attention_norm_weight;
    const bf16* attention_norm_bias;
    const bf16* qkv;
    const bf16* out;
    const bf16* feed_forward_norm_weight;
    const bf16* feed_forward_norm_bias;
    const bf16* expand;
    const bf16* expand_bias;
    const bf16* contract;
    const bf16* contract_bias;
    long long stride;

    __device__ __forceinline__ void keep_vectors(bf16* to, int layers, int dim) const {
        for (int layer = 0; layer < layers; layer++) {
            long long offset = layer * stride;
            keep(to, attention_norm_weight + offset, dim);
            keep(to + dim, attention_norm_bias + offset, dim);
            keep(to + 2 * dim, feed_forward_norm_weight + offset, dim);
            keep(to + 3 * dim, feed_forward_norm_bias + offset, dim);
            keep(to + 4 * dim, expand_bias + offset, 4 * dim);
            keep(to + 8 * dim, contract_bias + offset, dim);
            to += 9 * dim;
        }
    }
};

// What the choice of ids needs: Ops.sample, for the P bytes of a patch.
struct Choice {
    const int* settings;
    const int* allowed;     // [V]
    const int* sequences;   // [batch]
    const int* positions;   // [P, batch]
    const int* forced;      // [P, batch]
    int* seen;              // [batch, ceil(V / 32)]
    int* results;           // [P, 2, batch]
};

// A cluster's group of sequences.
class Group {
public:
    __device__ __forceinline__ Group(const Sizes& sizes, const Memory& memory)
        : sizes(sizes),
          memory(memory),
          rank(static_cast<int>(cluster_rank())),
          cluster(static_cast<int>(cluster_size())),
          first(static_cast<int>(blockIdx.x) / cluster * sizes.rows),
          rows(min(sizes.rows, sizes.batch - first)),
          stride(Sizes::stride(sizes.dim)) {}

    __device__ __forceinline__ Matrix matrix(const bf16* weight, int outputs, int inputs) const {
        return Matrix(weight, outputs, inputs, cluster);
    }

    // Lets the others have what this block has sent, and gets theirs; meanwhile the next product's weights set out.
    __device__ __forceinline__ void exchange(Weights& weights, const Matrix& next) const {
        cluster_arrive();
        weights.begin(next, 0);
        cluster_wait();
    }

    __device__ __forceinline__ void attention(const Layers& layers, int layer, int step, Weights& weights,
                                              const Matrix& qkv, const Matrix& next, float epsilon) const {
        Vectors vectors(memory.vectors + layer * 9 * sizes.dim, sizes.dim);
        normalize(memory, sizes, vectors.attention_norm, rows, epsilon);
        __syncthreads();
        int width = sizes.width();
        bf16* cache = memory.cache + (layer * sizes.patch + step) * sizes.rows * 2 * sizes.head_size;
        product(qkv, weights, memory.normed, stride, rows, memory.partial, [&](int row, int output, float a, float b) {
            send(output < width ? memory.queries + row * stride + output
                                : cache + row * 2 * sizes.head_size + output - width, a, b);
        });
        Matrix out = matrix(layers.out + layer * layers.stride, sizes.dim, width);
        exchange(weights, out);
        attend(memory, sizes, layer, rows, step);
        __syncthreads();
        product(out, weights, memory.normed, stride, rows, memory.partial, [&](int row, int output, float a, float b) {
            bf16* x = memory.x + row * stride + output;
            send(x, a + to_float(x[0]), b + to_float(x[1]));
        });
        exchange(weights, next);
    }

    __device__ __forceinline__ void feed_forward(const Layers& layers, int layer, Weights& weights,
                                                 const Matrix& expand, const Matrix& next, float epsilon) const {
        Vectors vectors(memory.vectors + layer * 9 * sizes.dim, sizes.dim);
        int wide = Sizes::stride(4 * sizes.dim);
        normalize(memory, sizes, vectors.feed_forward_norm, rows, epsilon);
        __syncthreads();
        product(expand, weights, memory.normed, stride, rows, memory.partial,
                [&](int row, int output, float a, float b) {
            a = rounded(a + to_float(vectors.expand_bias[output]));
            b = rounded(b + to_float(vectors.expand_bias[output + 1]));
            send(memory.hidden + row * wide + output, a * normal(a).distribution, b * normal(b).distribution);
        });
        Matrix contract = matrix(layers.contract + layer * layers.stride, sizes.dim, 4 * sizes.dim);
        exchange(weights, contract);
        product(contract, weights, memory.hidden, wide, rows, memory.partial,
                [&](int row, int output, float a, float b) {
            bf16* x = memory.x + row * stride + output;
            send(x, a + to_float(vectors.contract_bias[output]) + to_float(x[0]),
                 b + to_float(vectors.contract_bias[output + 1]) + to_float(x[1]));
        });
        exchange(weights, next);
    }

    // Logits to global memory, and to the block that chooses the row's id.
    __device__ __forceinline__ void score(const Matrix& head, int step, Weights& weights, float* logits) const {
        product(head, weights, memory.x, stride, rows, memory.partial, [&](int row, int output, float a, float b) {
            score(row, output, a, step, logits);
            if (output + 1 < sizes.vocabulary) score(row, output + 1, b, step, logits);
        });
    }

    // The ids of the rows that are this block's, to all blocks if there is another byte.
    __device__ __forceinline__ void choose_ids(const Choice& choice, int step) const {
        int words = (sizes.vocabulary + 31) / 32;
        for (int row = rank; row < rows; row += cluster) {
            int at = first + row;
            long long place = static_cast<long long>(step) * sizes.batch;
            int id = choice.forced[place + at];
            int fault = 0;
            if (id < 0) {
                id = choose<THREADS>(memory.logits + row / cluster * sizes.vocabulary, choice.settings, choice.allowed,
                                     choice.sequences[at], choice.positions[place + at],
                                     choice.seen + static_cast<long long>(at) * words, &fault, memory.choice,
                                     sizes.vocabulary, sizes.sorted);
                __syncthreads();   // the scratch has been read
            }
            if (threadIdx.x != 0) continue;
            choice.results[2 * place + at] = id;
            choice.results[2 * place + sizes.batch + at] = fault;
            if (step + 1 < sizes.patch) {
                store_in_all_blocks(reinterpret_cast<unsigned*>(memory.ids + row), static_cast<unsigned>(id));
            }
        }
    }

    const Sizes& sizes;
    const Memory& memory;
    int rank;
    int cluster;
    int first;    // of the batch
    int rows;
    int stride;

private:
    __device__ __forceinline__ void score(int row, int output, float sum, int step, float* logits) const {
        float logit = rounded(sum + to_float(memory.head_bias[output]));
        logits[(static_cast<long long>(step) * sizes.batch + first + row) * sizes.vocabulary + output] = logit;
        float* own = memory.logits + row / cluster * sizes.vocabulary + output;
        store_in_block(reinterpret_cast<unsigned*>(own), static_cast<unsigned>(row % cluster), __float_as_uint(logit));
    }
};

}  // namespace local_decode

extern "C" __global__ void __launch_bounds__(local_decode::THREADS)
local_decode_bf16(const bf16* slices, const bf16* table, const int* previous, const bf16* attention_norm_weight,
                  const bf16* attention_norm_bias, const bf16* qkv, const bf16* out,
                  const bf16* feed_forward_norm_weight, const bf16* feed_forward_norm_bias, const bf16* expand,
                  const bf16* expand_bias, const bf16* contract, const bf16* contract_bias, long long layer_stride,
                  const bf16* head, const bf16* head_bias, const int* settings, const int* allowed,
                  const int* sequences, const int* positions, const int* forced, int* seen, int* results,
                  float* logits, int batch, int rows, int patch, int layer_count, int dim, int heads, int head_size,
                  int vocabulary, int sorted, int alibi, float epsilon) {
    using namespace local_decode;
    DYNAMIC_SHARED(unsigned char, shared);
    const Sizes sizes = {batch, rows, patch, layer_count, dim, heads, head_size, vocabulary, sorted, alibi};
    const Memory memory(shared, sizes, static_cast<int>(cluster_size()));
    const Group group(sizes, memory);
    const Layers layers = {attention_norm_weight, attention_norm_bias, qkv, out, feed_forward_norm_weight,
                           feed_forward_norm_bias, expand, expand_bias, contract, contract_bias, layer_stride};
    const Choice choice = {settings, allowed, sequences, positions, forced, seen, results};
    const Matrix to_logits = group.matrix(head, vocabulary, dim);
    const int packed = sizes.width() + 2 * head_size;
    Weights weights;

    cluster_arrive();
    weights.begin(group.matrix(qkv, packed, dim), 0);
    layers.keep_vectors(memory.vectors, layer_count, dim);
    keep(memory.head_bias, head_bias, vocabulary);
    if (static_cast<int>(threadIdx.x) < group.rows) memory.ids[threadIdx.x] = previous[group.first + threadIdx.x];
    cluster_wait();
    for (int step = 0; step < patch; step++) {
        embed(memory, sizes, table, slices, group.first, group.rows, step);
        __syncthreads();
        for (int layer = 0; layer < layer_count; layer++) {
            long long offset = layer * layer_stride;
            Matrix packed_qkv = group.matrix(qkv + offset, packed, dim);
            Matrix wide = group.matrix(expand + offset, 4 * dim, dim);
            bool last = layer + 1 == layer_count;
            Matrix next = last ? to_logits : group.matrix(qkv + offset + layer_stride, packed, dim);
            group.attention(layers, layer, step, weights, packed_qkv, wide, epsilon);
            group.feed_forward(layers, layer, weights, wide, next, epsilon);
        }
        group.score(to_logits, step, weights, logits);
        group.exchange(weights, group.matrix(qkv, packed, dim));
        group.choose_ids(choice, step);
        if (step + 1 == patch) break;   // nobody writes to this block any more
        cluster_arrive();
        cluster_wait();
    }
}
REGISTER_KERNEL(local_decode_bf16);
