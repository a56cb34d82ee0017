// What is done to each element alone, and sums over rows.
//
//   fill          x[i] = value                              F32, BF16 or I32
//   copy, cast    to[i] = from[i]                           F32 or I32, BF16, and between F32 and BF16
//   add_bias      x[r][c] += bias[c]                        x [rows, columns], bias [columns], same dtype
//   column_sums   sums[c] += sum over r of x[r][c]          x [rows, columns], sums float32 [columns]
//
// Launch: the first three one thread per 16 bytes, four times: grid ceil(elements / (1024 N)), block 256, with N = 8
// for 16-bit elements and casts, 4 for 32-bit ones. column_sums: a block of 256 threads is `lanes` packs wide and
// 256 / lanes rows high; grid (strips of lanes * N columns, parts of rows); its sums over a part lie in the workspace
// [parts, columns] until add_column_sums (grid ceil(columns / 32), block 1024) adds them up. A single part needs no
// second stage.
// Bytes:  each operand once; the parts of column_sums are 8 bytes per column and part more.
// FLOPs:  at most one per element.
// Numerics: casts round to nearest even. Column sums are float32: a thread adds the rows of its part that are
//         256 / lanes apart, the threads of a column are added in order, then the parts; the number of parts depends
//         on the shape alone.

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/column_sums.cuh"
#include "common/elements.cuh"

// ---- fill

template <class T>
struct Fill {
    T* x;
    T value;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int) const {
        Pack<T, N> pack;
#pragma unroll
        for (int k = 0; k < N; k++) pack[k] = value;
        store_pack<N>(x + at, pack);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS) fill_f32(float* x, long long count, float value) {
    for_each_element<4>(count, aligned_16(x), Fill<float>{x, value});
}
REGISTER_KERNEL(fill_f32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS) fill_bf16(bf16* x, long long count, float value) {
    for_each_element<8>(count, aligned_16(x), Fill<bf16>{x, to_bf16(value)});
}
REGISTER_KERNEL(fill_bf16);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS) fill_i32(int* x, long long count, int value) {
    for_each_element<4>(count, aligned_16(x), Fill<int>{x, value});
}
REGISTER_KERNEL(fill_i32);

// ---- copy and cast

template <class T>
struct Copy {
    const T* from;
    T* to;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int) const {
        store_pack<N>(to + at, load_pack<N>(from + at));
    }
};

template <class From, class To>
struct Cast {
    const From* from;
    To* to;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int) const {
        float values[N];
        load_floats(from + at, values);
        store_floats(to + at, values);
    }
};

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS) copy_32(const int* from, int* to, long long count) {
    for_each_element<4>(count, aligned_16(from) && aligned_16(to), Copy<int>{from, to});
}
REGISTER_KERNEL(copy_32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS) copy_16(const bf16* from, bf16* to, long long count) {
    for_each_element<8>(count, aligned_16(from) && aligned_16(to), Copy<bf16>{from, to});
}
REGISTER_KERNEL(copy_16);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    cast_f32_bf16(const float* from, bf16* to, long long count) {
    for_each_element<8>(count, aligned_16(from) && aligned_16(to), Cast<float, bf16>{from, to});
}
REGISTER_KERNEL(cast_f32_bf16);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    cast_bf16_f32(const bf16* from, float* to, long long count) {
    for_each_element<8>(count, aligned_16(from) && aligned_16(to), Cast<bf16, float>{from, to});
}
REGISTER_KERNEL(cast_bf16_f32);

// ---- bias

template <class T>
struct AddBias {
    T* x;
    const T* bias;
    RowsOfBlock rows;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int offset) const {
        float values[N];
        float added[N];
        load_floats(x + at, values);
        load_floats(bias + rows.column_of(offset), added);
#pragma unroll
        for (int k = 0; k < N; k++) values[k] += added[k];
        store_floats(x + at, values);
    }
};

template <class T>
__device__ __forceinline__ void add_bias(T* x, const T* bias, long long count, int columns) {
    constexpr int N = PACKED<T>;
    RowsOfBlock rows(blockIdx.x * static_cast<long long>(ELEMENTS<N>), columns);
    for_each_element<N>(count, can_pack<N>(x, columns) && aligned_16(bias), AddBias<T>{x, bias, rows});
}

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    add_bias_f32(float* x, const float* bias, long long count, int columns) {
    add_bias(x, bias, count, columns);
}
REGISTER_KERNEL(add_bias_f32);

extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)
    add_bias_bf16(bf16* x, const bf16* bias, long long count, int columns) {
    add_bias(x, bias, count, columns);
}
REGISTER_KERNEL(add_bias_bf16);

// ---- sums over rows

constexpr int COLUMN_THREADS = 256;

// Sums of this block's rows and columns into its part of `partials`, or with `add` added to the only part. `scratch` is
// shared, COLUMN_THREADS * N floats.
template <int N, class T>
__device__ __forceinline__ void sum_part(const T* x, long long rows, long long columns, int lanes,
                                         long long rows_per_part, float* partials, int add, float* scratch) {
    int thread = static_cast<int>(threadIdx.x);
    int lane = thread % lanes;
    int height = COLUMN_THREADS / lanes;
    __builtin_assume(height > 0);
    long long column = (blockIdx.x * static_cast<long long>(lanes) + lane) * N;
    long long first = blockIdx.y * rows_per_part;
    long long end = min(rows, first + rows_per_part);
    float sums[N] = {};
    if (column < columns) {
#pragma unroll 4
        for (long long row = first + thread / lanes; row < end; row += height) {
            float values[N];
            load_floats(x + row * columns + column, values);
#pragma unroll
            for (int k = 0; k < N; k++) sums[k] += values[k];
        }
    }
#pragma unroll
    for (int k = 0; k < N; k++) scratch[k * COLUMN_THREADS + thread] = sums[k];
    __syncthreads();
    for (int i = thread; i < lanes * N; i += COLUMN_THREADS) {
        long long at = blockIdx.x * static_cast<long long>(lanes) * N + i;
        if (at >= columns) continue;
        float sum = 0;
        for (int h = 0; h < height; h++) sum += scratch[i % N * COLUMN_THREADS + h * lanes + i / N];
        float* to = partials + blockIdx.y * columns + at;
        *to = add ? *to + sum : sum;
    }
}

// `vectors`: whether rows can be read 16 bytes at a time; the grid's width counts on it.
template <class T>
__device__ __forceinline__ void column_sums(const T* x, long long rows, long long columns, int lanes, int vectors,
                                            long long rows_per_part, float* partials, int add) {
    SHARED float scratch[COLUMN_THREADS * PACKED<T>];
    if (vectors) {
        sum_part<PACKED<T>>(x, rows, columns, lanes, rows_per_part, partials, add, scratch);
    } else {
        sum_part<1>(x, rows, columns, lanes, rows_per_part, partials, add, scratch);
    }
}

extern "C" __global__ void __launch_bounds__(COLUMN_THREADS)
    column_sums_f32(const float* x, long long rows, long long columns, int lanes, int vectors,
                    long long rows_per_part, float* partials, int add) {
    column_sums(x, rows, columns, lanes, vectors, rows_per_part, partials, add);
}
REGISTER_KERNEL(column_sums_f32);

extern "C" __global__ void __launch_bounds__(COLUMN_THREADS)
    column_sums_bf16(const bf16* x, long long rows, long long columns, int lanes, int vectors,
                     long long rows_per_part, float* partials, int add) {
    column_sums(x, rows, columns, lanes, vectors, rows_per_part, partials, add);
}
REGISTER_KERNEL(column_sums_bf16);

extern "C" __global__ void __launch_bounds__(SUM_COLUMNS * SUM_GROUPS)
    add_column_sums(const float* partials, long long parts, long long columns, float* sums) {
    SHARED float of_group[SUM_GROUPS][SUM_COLUMNS + 1];
    long long column = blockIdx.x * static_cast<long long>(SUM_COLUMNS) + lane_index();
    float sum = sum_of_column(partials, parts, columns, column, columns, of_group);
    if (warp_index() == 0 && column < columns) sums[column] += sum;
}
REGISTER_KERNEL(add_column_sums);
