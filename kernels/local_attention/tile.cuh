// What the three ways of local_attention.cu share: how patches become the rows of a tile.
//
// A tile is `patchesPerTile` whole patches, one after the other, and one key/value head. Its keys are its positions;
// its rows are the queries of all heads that share the key/value head, head by head: row = head * size + position. A
// query sees the keys of its own patch up to itself, `start` to `position`, so several small patches lie in one tile
// without seeing each other.

#pragma once

#include "../common/bf16.cuh"
#include "../common/fast_math.cuh"

namespace local_attention {

constexpr float LN_2 = 0.6931471805599453f;

// Division by a small number that a launch fixes: exact while value * divisor < 2^20.
struct Divider {
    unsigned factor;

    __device__ __forceinline__ explicit Divider(int divisor) : factor((1u << 20) / divisor + 1) {}
    __device__ __forceinline__ int operator()(int value) const { return static_cast<int>(value * factor >> 20); }
};

struct Problem {
    long long patches;
    int length;
    int heads;
    int key_value_heads;
    int head_size;
    int patches_per_tile;
    float scale;
    int alibi;
};

struct Row {
    int head;      // of the tile's heads
    int position;  // in the tile; -1 if the row is padding, which sees no key
    int start;     // the first key it sees

    __device__ __forceinline__ bool valid() const { return position >= 0; }
    __device__ __forceinline__ bool sees(int key) const { return key >= start && key <= position; }
};

class Tile {
public:
    int size;       // positions of a full tile
    int positions;  // of this one
    int rows;       // of a full tile

    __device__ __forceinline__ Tile(const Problem& problem, long long index, int key_value_head)
        : size(problem.patches_per_tile * problem.length),
          length(problem.length),
          heads(problem.heads),
          head_size(problem.head_size),
          of_size(size),
          of_length(problem.length) {
        first_patch = index * problem.patches_per_tile;
        long long left = problem.patches - first_patch;
        positions = left >= problem.patches_per_tile ? size : left > 0 ? static_cast<int>(left) * length : 0;
        group = heads / problem.key_value_heads;
        rows = group * size;
        first_head = key_value_head * group;
        packed_width = (heads + 2 * problem.key_value_heads) * head_size;
        keys = (heads + key_value_head) * head_size;
        values = keys + problem.key_value_heads * head_size;
        slope_step = problem.alibi ? -8.0f / heads : 0;
    }

    __device__ __forceinline__ Row row(int index) const {
        Row row;
        row.head = of_size(index);
        row.position = index - row.head * size;
        row.start = of_length(row.position) * length;
        if (row.head >= group || row.position >= positions) row.position = -1;
        return row;
    }

    // Keys that rows `first` to `first + count - 1` can see at most.
    __device__ __forceinline__ int visible(int first, int count) const {
        int last = min(first + count, rows) - 1;
        int head = of_size(first);
        return min(of_size(last) == head ? last - head * size + 1 : size, positions);
    }

    // Places of a row: in qkv and dQkv, in out and dOut, in lse. Those of a position's key and value.
    template <class T>
    __device__ __forceinline__ T* query(T* qkv, const Row& row) const {
        int at = row.position * packed_width + (first_head + row.head) * head_size;
        return qkv + first_position() * packed_width + at;
    }
    template <class T>
    __device__ __forceinline__ T* result(T* out, const Row& row) const {
        int width = heads * head_size;
        return out + first_position() * width + (row.position * width + (first_head + row.head) * head_size);
    }
    template <class T>
    __device__ __forceinline__ T* statistic(T* lse, const Row& row) const {
        int before = of_length(row.start);  // patches of the tile before the row's
        return lse + first_position() * heads +
               ((before * heads + first_head + row.head) * length + row.position - row.start);
    }
    template <class T>
    __device__ __forceinline__ T* key(T* qkv, int position) const {
        return qkv + first_position() * packed_width + (position * packed_width + keys);
    }
    template <class T>
    __device__ __forceinline__ T* value(T* qkv, int position) const {
        return qkv + first_position() * packed_width + (position * packed_width + values);
    }

    // ALiBi's slope of a row's head, times log2 e; 0 without the bias.
    __device__ __forceinline__ float slope(const Row& row) const {
        return slope_step == 0 ? 0 : exp2f((first_head + row.head + 1) * slope_step) * LOG2_E;
    }

private:
    int length;
    int heads;
    int head_size;
    Divider of_size;
    Divider of_length;
    long long first_patch;
    int group;
    int first_head;
    int packed_width;
    int keys;
    int values;
    float slope_step;

    __device__ __forceinline__ long long first_position() const { return first_patch * length; }
};

// 2^x for x <= 0: what rounding leaves above is cut off, so that a probability computed again never passes 1.
__device__ __forceinline__ float probability(float x) { return fast_exp2(min(x, 0.0f)); }

}  // namespace local_attention
