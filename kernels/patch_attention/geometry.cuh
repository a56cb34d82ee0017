// Where things lie: packed rows of queries, keys and values, and what one block works on.

#pragma once

#include "../common/bf16.cuh"
#include "../common/fast_math.cuh"

constexpr float LN_2 = 0.6931471805599453f;

// A head's part of a tensor of rows, of which one sequence is meant.
template <class T>
struct Rows {
    T* start;          // of the sequence's first row
    long long stride;  // from one row to the next, in elements

    __device__ __forceinline__ T* at(int position) const { return start + position * stride; }
};

// Which sequence and which group of query heads a block has, and which of its tiles. Blocks start in the order of their
// index: those with the most work first, and side by side those of all sequences.
struct Work {
    int length;
    int heads;
    int group;  // query heads that are rows of one tile
    int split;  // groups of one key/value head
    int key_value_heads;
    int head_size;
    int tile;
    int nth_group;  // of the sequence
    long long sequence;

    // groups: of all sequences.
    __device__ __forceinline__ Work(int length, int heads, int key_value_heads, int head_size, int groups, int split,
                                    bool last_first)
        : length(length),
          heads(heads),
          group(heads / key_value_heads / split),
          split(split),
          key_value_heads(key_value_heads),
          head_size(head_size) {
        unsigned one = blockIdx.x % static_cast<unsigned>(groups);
        unsigned nth = blockIdx.x / static_cast<unsigned>(groups);
        unsigned groups_of_sequence = static_cast<unsigned>(key_value_heads * split);
        tile = static_cast<int>(last_first ? gridDim.x / static_cast<unsigned>(groups) - 1 - nth : nth);
        nth_group = static_cast<int>(one % groups_of_sequence);
        sequence = one / groups_of_sequence;
    }

    __device__ __forceinline__ int first_head() const { return nth_group * group; }
    __device__ __forceinline__ int key_value_head() const { return nth_group / split; }

    // The queries of the first of the block's heads; the next ones follow at head_size.
    template <class T>
    __device__ __forceinline__ Rows<T> queries(T* packed) const {
        return part(packed, first_head());
    }

    template <class T>
    __device__ __forceinline__ Rows<T> keys(T* packed) const {
        return part(packed, heads + key_value_head());
    }

    template <class T>
    __device__ __forceinline__ Rows<T> values(T* packed) const {
        return part(packed, heads + key_value_heads + key_value_head());
    }

    // Of a tensor [rows, heads * head_size]: result and its gradient.
    template <class T>
    __device__ __forceinline__ Rows<T> results(T* rows) const {
        long long stride = static_cast<long long>(heads) * head_size;
        return {rows + sequence * length * stride + static_cast<long long>(first_head()) * head_size, stride};
    }

    // Where the numbers of a head's rows start in a tensor [batch, heads, length].
    __device__ __forceinline__ long long statistics(int head_of_group) const {
        return (sequence * heads + first_head() + head_of_group) * length;
    }

private:
    template <class T>
    __device__ __forceinline__ Rows<T> part(T* packed, int head) const {
        long long stride = static_cast<long long>(heads + 2 * key_value_heads) * head_size;
        return {packed + sequence * length * stride + static_cast<long long>(head) * head_size, stride};
    }
};

// Query heads of one key/value head as rows of one tile: row r is head r % group at position r / group.
struct PackedRows {
    int position;  // of the first row
    unsigned phase;
    unsigned group;

    __device__ __forceinline__ PackedRows(int tile, int rows, int group) : group(static_cast<unsigned>(group)) {
        long long first = static_cast<long long>(tile) * rows;
        position = static_cast<int>(first / group);
        phase = static_cast<unsigned>(first % group);
    }

    __device__ __forceinline__ int position_of(int row) const {
        return position + static_cast<int>((phase + static_cast<unsigned>(row)) / group);
    }

    __device__ __forceinline__ int head_of(int row) const {
        return static_cast<int>((phase + static_cast<unsigned>(row)) % group);
    }
};

// ALiBi's slope of a head, times log2(e): 2^(-8 (head + 1) / heads). The whole part of the exponent is exact.
__device__ __forceinline__ float alibi_slope(int head, int heads) {
    int exponent = 8 * (head + 1);
    int whole = exponent / heads;
    float rest = static_cast<float>(exponent % heads) / static_cast<float>(heads);
    return exp2f(-rest) * __uint_as_float(static_cast<unsigned>(127 - whole) << 23) * LOG2_E;
}
