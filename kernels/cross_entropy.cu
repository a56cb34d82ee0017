// Softmax cross entropy of rows of logits: the mean loss over the targets that count, and its gradient, in one pass.
//
// logits, dLogits [rows, V] (T; may be the same)   targets int [rows]   count int [1]   loss float32 [1], added to
//   loss += sum over rows with target != ignored of (log sum exp(x) - x[target]) / count
//   dLogits = (softmax(x) - onehot(target)) scale / count, 0 in ignored rows; count 0: neither loss nor gradient
//
// The number of targets is read on the device. A target that is neither ignored nor in the vocabulary is not an
// address: it makes its row of the gradient and the loss NaN.
// A team holds a row in registers: a warp up to 1024 logits, a block of 256 threads up to 8192, each in three sizes.
// Rows that cannot be read 16 bytes at a time, and longer ones, are read again for each step (`_any`).
// Launch: softmax_cross_entropy: grid ceil(rows / 4), block 128 for warps; grid rows, block 256 for blocks. What a
//   block adds to the loss lies in the workspace until add_losses (one block of 1024) adds it all up.
//   count_targets: one block of 1024.
// Bytes:  V T per row read, V T written; nothing is read of ignored rows. 12 more per row.
// FLOPs:  about 8 per logit.
// Numerics: float32, largest logit subtracted, one exponential per logit (2^-22). The rows' losses are added up in
//         double, in a fixed order.

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/fast_math.cuh"
#include "common/reduce.cuh"
#include "common/row_team.cuh"

constexpr int LOSS_THREADS = 1024;
constexpr float LOWEST = -INFINITY;

// ---- one row

// The target's logit; NaN for a target outside the vocabulary.
template <class T>
__device__ __forceinline__ float logit_of(const T* logits, int target, int vocabulary) {
    bool within = static_cast<unsigned>(target) < static_cast<unsigned>(vocabulary);
    return within ? load_float(logits, target) : __uint_as_float(0x7fffffffu);
}

__device__ __forceinline__ float exponential(float x, float largest) { return fast_exp2((x - largest) * LOG2_E); }

// The loss of a row, known to all threads of the team; and its gradient if there is a place for it.
template <class T, int TEAM, int VALUES>
__device__ __forceinline__ float row_in_registers(const T* logits, int target, int vocabulary, T* dLogits,
                                                  float scale) {
    constexpr int N = PACKED<T>;
    int index = index_in_team<TEAM>();
    float values[VALUES];
    load_row<N, TEAM>(logits, index, vocabulary, LOWEST, values);
    float of_target = logit_of(logits, target, vocabulary);
    float largest = LOWEST;
#pragma unroll
    for (int i = 0; i < VALUES; i++) largest = max(largest, values[i]);
    largest = team_max<TEAM>(largest);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < VALUES; i++) {
        values[i] = exponential(values[i], largest);
        sum += values[i];
    }
    sum = team_sum<TEAM>(sum);
    float loss = largest - of_target + logf(sum);
    if (dLogits == nullptr) return loss;
    float factor = scale / sum;
    for_each_pack<N, TEAM, VALUES>(index, vocabulary, [&](int column, int i) {
#pragma unroll
        for (int k = 0; k < N; k++) values[i + k] = values[i + k] * factor - (column + k == target ? scale : 0);
        store_part<N>(dLogits + column, values + i);
    });
    return loss;
}

template <class T, int TEAM>
__device__ __forceinline__ float row_again(const T* logits, int target, int vocabulary, T* dLogits, float scale) {
    int index = index_in_team<TEAM>();
    float of_target = logit_of(logits, target, vocabulary);
    float largest = LOWEST;
    for (int v = index; v < vocabulary; v += TEAM) largest = max(largest, load_float(logits, v));
    largest = team_max<TEAM>(largest);
    float sum = 0;
    for (int v = index; v < vocabulary; v += TEAM) sum += exponential(load_float(logits, v), largest);
    sum = team_sum<TEAM>(sum);
    float loss = largest - of_target + logf(sum);
    if (dLogits == nullptr) return loss;
    float factor = scale / sum;
    for (int v = index; v < vocabulary; v += TEAM) {
        float p = exponential(load_float(logits, v), largest) * factor;
        store_float(dLogits, v, p - (v == target ? scale : 0));
    }
    return loss;
}

// ---- all rows

// VALUES 0 for rows that are read again. losses[block]: the sum of the block's rows.
template <class T, int TEAM, int VALUES>
__device__ __forceinline__ void cross_entropy(const T* logits, const int* targets, int ignored, const int* count,
                                              T* dLogits, double* losses, long long rows, int vocabulary,
                                              float gradientScale) {
    SHARED float of_row[TEAMS<TEAM>];
    int index = index_in_team<TEAM>();
    long long row = blockIdx.x * static_cast<long long>(TEAMS<TEAM>) + team_index<TEAM>();
    float loss = 0;
    if (row < rows) {
        const T* from = logits + row * vocabulary;
        T* to = dLogits == nullptr ? nullptr : dLogits + row * vocabulary;
        int target = targets[row];
        if (*count != 0 && target != ignored) {
            bool within = static_cast<unsigned>(target) < static_cast<unsigned>(vocabulary);
            float scale = within ? gradientScale / static_cast<float>(*count) : __uint_as_float(0x7fffffffu);
            if (VALUES == 0) {
                loss = row_again<T, TEAM>(from, target, vocabulary, to, scale);
            } else {
                loss = row_in_registers<T, TEAM, VALUES == 0 ? PACKED<T> : VALUES>(from, target, vocabulary, to, scale);
            }
        } else if (to != nullptr) {
            constexpr int N = VALUES == 0 ? 1 : PACKED<T>;
            float zeros[N] = {};
            for (int v = index * N; v < vocabulary; v += TEAM * N) store_floats(to + v, zeros);
        }
    }
    if (index == 0) of_row[team_index<TEAM>()] = loss;
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0;
        for (int i = 0; i < TEAMS<TEAM>; i++) sum += of_row[i];
        losses[blockIdx.x] = sum;
    }
}

#define CROSS_ENTROPY(suffix, T, team, TEAM, VALUES)                                                             \
    extern "C" __global__ void __launch_bounds__(BLOCK<TEAM>)                                                    \
        softmax_cross_entropy_##suffix##_##team(const T* logits, const int* targets, int ignored,                \
                                                const int* count, T* dLogits, double* losses, long long rows,    \
                                                int vocabulary, float gradientScale) {                           \
        cross_entropy<T, TEAM, VALUES>(logits, targets, ignored, count, dLogits, losses, rows, vocabulary,       \
                                       gradientScale);                                                           \
    }                                                                                                            \
    REGISTER_KERNEL(softmax_cross_entropy_##suffix##_##team);

#define ENTRY_POINTS(suffix, T)                                                                                  \
    CROSS_ENTROPY(suffix, T, warp8, WARP, 8)                                                                     \
    CROSS_ENTROPY(suffix, T, warp16, WARP, 16)                                                                   \
    CROSS_ENTROPY(suffix, T, warp32, WARP, 32)                                                                   \
    CROSS_ENTROPY(suffix, T, block8, BLOCK_TEAM, 8)                                                              \
    CROSS_ENTROPY(suffix, T, block16, BLOCK_TEAM, 16)                                                            \
    CROSS_ENTROPY(suffix, T, block32, BLOCK_TEAM, 32)                                                            \
    CROSS_ENTROPY(suffix, T, warp_any, WARP, 0)                                                                  \
    CROSS_ENTROPY(suffix, T, block_any, BLOCK_TEAM, 0)

ENTRY_POINTS(f32, float)
ENTRY_POINTS(bf16, bf16)

// loss += sum of losses / count
extern "C" __global__ void __launch_bounds__(LOSS_THREADS)
    cross_entropy_add_losses(const double* losses, long long blocks, const int* count, float* loss) {
    double sum = 0;
    for (long long i = threadIdx.x; i < blocks; i += LOSS_THREADS) sum += losses[i];
    sum = block_sum<LOSS_THREADS>(sum);
    if (threadIdx.x == 0 && *count != 0) *loss = static_cast<float>(*loss + sum / *count);
}
REGISTER_KERNEL(cross_entropy_add_losses);

// ---- targets

extern "C" __global__ void __launch_bounds__(LOSS_THREADS)
    count_targets(const int* ids, long long elements, int ignored, int* count) {
    int counted = 0;
#pragma unroll 8
    for (long long i = threadIdx.x; i < elements; i += LOSS_THREADS) counted += ids[i] != ignored;
    counted = block_sum<LOSS_THREADS>(counted);
    if (threadIdx.x == 0) *count = counted;
}
REGISTER_KERNEL(count_targets);
