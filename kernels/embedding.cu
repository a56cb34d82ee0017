// Embeddings of shifted ids with optional positions and addend, and the gradient of the table.
//
//   forward   out[i] = table[seen(i)] + positions[i % T] + addend[i]        i < B T,  ids [B, T]
//   backward  dTable[seen(i)] += dOut[i]                                    dTable [V, dim] float32, others T
//   seen(i) = the id `distance` positions back, or padId where that is not in the same block of `period` positions
//
// An id outside the table makes its row of the output NaN, which shows in the loss, and adds to no gradient; it is
// never an address.
//
// Backward is six launches. Positions are sorted by the id they see, stably, by counting: embedding_count counts ids
// by chunk of 512 positions, embedding_offsets sums the counts over chunks, embedding_starts over ids, embedding_sort
// puts (position, id) in its place. Then tiles of 64 sorted positions, each of a warp per 32 packs of columns, add up
// runs of equal ids in order (embedding_tiles): a run that lies within its tile is all of its id and goes to dTable; of
// one that crosses a border, the tile's share goes to the workspace, and embedding_add_shares adds up the shares of an
// id in order. So frequent ids (padding above all) are spread over as many tiles as they need.
// The gradient of the positions is the column sums of dOut as [B, T dim]: column_sums of elementwise.cu.
// Launch: forward elementwise, block 256. count, sort: grid ceil(B T / 512), block 256. offsets: grid ceil(V / 32),
//         block 1024. starts: one block of 1024. tiles: a warp per tile and 32 packs, block 128. add_shares: grid
//         (V, ceil(dim / 32)), block 256.
// Bytes:  forward dim T per position (2 with an addend) and 4 for the id, tables from the second-level cache;
//         backward dim T per position, 20 to sort it, 8 dim / 64 at most for shares, and V dim 8 for dTable.
// Numerics: float32 sums in an order that the ids fix.
// Source: counting sort, Knuth vol. 3, 5.2.

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/column_sums.cuh"
#include "common/elements.cuh"

// ---- which id a position sees

struct Shift {
    long long distance;
    long long period;
};

// Unsigned division of 32 bits where that is enough takes a quarter of the time.
__device__ __forceinline__ long long remainder_of(long long a, long long b) {
    bool small = (a | b) >> 32 == 0;
    return small ? static_cast<unsigned>(a) % static_cast<unsigned>(b) : a % b;
}

// -1 for an id outside the table.
__device__ __forceinline__ int seen(const int* ids, Shift shift, int padId, int vocabulary, long long position) {
    int id = remainder_of(position, shift.period) < shift.distance ? padId : ids[position - shift.distance];
    return static_cast<unsigned>(id) < static_cast<unsigned>(vocabulary) ? id : -1;
}

// ---- forward

template <class T>
struct Embed {
    const int* ids;
    Shift shift;
    int padId;
    int vocabulary;
    int length;
    const T* table;
    const T* positions;
    const T* addend;
    T* out;
    RowsOfBlock rows;

    template <int N>
    __device__ __forceinline__ void apply(long long at, int offset) const {
        long long row = rows.row_of(offset);
        int column = rows.column_of(offset);
        long long columns = rows.columns;
        int id = seen(ids, shift, padId, vocabulary, row);
        float sum[N];
        if (id >= 0) {
            load_floats(table + id * columns + column, sum);
        } else {
#pragma unroll
            for (int k = 0; k < N; k++) sum[k] = __uint_as_float(0x7fffffffu);
        }
        if (positions != nullptr) add<N>(positions + remainder_of(row, length) * columns + column, sum);
        if (addend != nullptr) add<N>(addend + at, sum);
        store_floats(out + at, sum);
    }

    template <int N>
    static __device__ __forceinline__ void add(const T* from, float (&sum)[N]) {
        float values[N];
        load_floats(from, values);
#pragma unroll
        for (int k = 0; k < N; k++) sum[k] += values[k];
    }
};

template <class T>
__device__ __forceinline__ void embed(const int* ids, Shift shift, int padId, int vocabulary, int length,
                                      const T* table, const T* positions, const T* addend, T* out, long long count,
                                      int dim) {
    constexpr int N = PACKED<T>;
    RowsOfBlock rows(blockIdx.x * static_cast<long long>(ELEMENTS<N>), dim);
    bool vectors = can_pack<N>(table, dim) && aligned_16(positions) && aligned_16(addend) && aligned_16(out);
    for_each_element<N>(count, vectors, Embed<T>{ids, shift, padId, vocabulary, length, table, positions, addend, out,
                                                 rows});
}

#define EMBED(suffix, T)                                                                                      \
    extern "C" __global__ void __launch_bounds__(ELEMENT_THREADS)                                             \
        embed_##suffix(const int* ids, long long distance, long long period, int padId, int vocabulary,       \
                       int length, const T* table, const T* positions, const T* addend, T* out,               \
                       long long count, int dim) {                                                            \
        embed(ids, Shift{distance, period}, padId, vocabulary, length, table, positions, addend, out, count, dim); \
    }                                                                                                         \
    REGISTER_KERNEL(embed_##suffix);

EMBED(f32, float)
EMBED(bf16, bf16)

// ---- backward: positions sorted by the id they see

constexpr int CHUNK = 512;
constexpr int CHUNK_THREADS = 256;
constexpr int COUNTERS = 4096;  // ids counted at a time

// counts[chunk][id]: positions of the chunk that see the id.
extern "C" __global__ void __launch_bounds__(CHUNK_THREADS)
    embedding_count(const int* ids, long long distance, long long period, int padId, int vocabulary,
                    long long count, int* counts) {
    SHARED int counters[COUNTERS];
    int thread = static_cast<int>(threadIdx.x);
    long long begin = blockIdx.x * static_cast<long long>(CHUNK);
    for (int first = 0; first < vocabulary; first += COUNTERS) {
        int here = min(COUNTERS, vocabulary - first);
        for (int i = thread; i < here; i += CHUNK_THREADS) counters[i] = 0;
        __syncthreads();
        for (int i = thread; i < CHUNK && begin + i < count; i += CHUNK_THREADS) {
            int id = seen(ids, Shift{distance, period}, padId, vocabulary, begin + i) - first;
            if (id >= 0 && id < here) atomicAdd(&counters[id], 1);
        }
        __syncthreads();
        for (int i = thread; i < here; i += CHUNK_THREADS) {
            counts[blockIdx.x * static_cast<long long>(vocabulary) + first + i] = counters[i];
        }
        __syncthreads();
    }
}
REGISTER_KERNEL(embedding_count);

// Replaces the counts of an id by their sums over earlier chunks; totals[id] is the sum over all. A warp takes a run of
// chunks, a lane an id.
extern "C" __global__ void __launch_bounds__(SUM_COLUMNS * SUM_GROUPS)
    embedding_offsets(int* counts, long long chunks, int vocabulary, int* totals) {
    SHARED int of_group[SUM_GROUPS][SUM_COLUMNS + 1];
    int lane = lane_index();
    int group = warp_index();
    int id = static_cast<int>(blockIdx.x) * SUM_COLUMNS + lane;
    long long per_group = (chunks + SUM_GROUPS - 1) / SUM_GROUPS;
    long long begin = group * per_group;
    long long end = min(chunks, begin + per_group);
    int sum = 0;
    if (id < vocabulary) {
#pragma unroll 4
        for (long long chunk = begin; chunk < end; chunk++) sum += counts[chunk * vocabulary + id];
    }
    of_group[group][lane] = sum;
    __syncthreads();
    if (id >= vocabulary) return;
    int before = 0;
    for (int i = 0; i < group; i++) before += of_group[i][lane];
    if (group == SUM_GROUPS - 1) totals[id] = before + sum;
    for (long long chunk = begin; chunk < end; chunk++) {
        int here = counts[chunk * vocabulary + id];
        counts[chunk * vocabulary + id] = before;
        before += here;
    }
}
REGISTER_KERNEL(embedding_offsets);

// starts[id], starts[id + 1]: where the positions of an id lie in `sorted`; starts has V + 1 elements.
extern "C" __global__ void __launch_bounds__(1024) embedding_starts(const int* totals, int vocabulary, int* starts) {
    SHARED int of_thread[1024];
    int thread = static_cast<int>(threadIdx.x);
    int per_thread = (vocabulary + 1023) / 1024;
    int begin = min(vocabulary, thread * per_thread);
    int end = min(vocabulary, begin + per_thread);
    int sum = 0;
    for (int id = begin; id < end; id++) sum += totals[id];
    of_thread[thread] = sum;
    __syncthreads();
    for (int distance = 1; distance < 1024; distance *= 2) {
        int before = thread >= distance ? of_thread[thread - distance] : 0;
        __syncthreads();
        of_thread[thread] += before;
        __syncthreads();
    }
    int before = of_thread[thread] - sum;
    for (int id = begin; id < end; id++) {
        starts[id] = before;
        before += totals[id];
    }
    if (thread == 1023) starts[vocabulary] = of_thread[thread];
}
REGISTER_KERNEL(embedding_starts);

// sorted[k] = (position, id), by id, then by position. The rank among equals of a chunk is counted in shared memory.
extern "C" __global__ void __launch_bounds__(CHUNK_THREADS)
    embedding_sort(const int* ids, long long distance, long long period, int padId, int vocabulary,
                   long long count, const int* offsets, const int* starts, int2* sorted) {
    SHARED int chunk[CHUNK];
    int thread = static_cast<int>(threadIdx.x);
    long long begin = blockIdx.x * static_cast<long long>(CHUNK);
    for (int i = thread; i < CHUNK; i += CHUNK_THREADS) {
        chunk[i] = begin + i < count ? seen(ids, Shift{distance, period}, padId, vocabulary, begin + i) : -1;
    }
    __syncthreads();
    for (int i = thread; i < CHUNK; i += CHUNK_THREADS) {
        int id = chunk[i];
        if (id < 0) continue;
        int rank = 0;
        for (int k = 0; k < i; k++) rank += chunk[k] == id;
        sorted[starts[id] + offsets[blockIdx.x * static_cast<long long>(vocabulary) + id] + rank] =
            make_int2(static_cast<int>(begin + i), id);
    }
}
REGISTER_KERNEL(embedding_sort);

// ---- backward: sums over runs of equal ids

constexpr int TILE = 64;
constexpr int TILE_WARPS = 4;
constexpr int ROWS_AT_ONCE = 8;

// Adds to[k] or replaces it.
template <int N>
__device__ __forceinline__ void put(float* to, const float (&sum)[N], bool add) {
#pragma unroll
    for (int k = 0; k < N; k++) to[k] = add ? to[k] + sum[k] : sum[k];
}

// shares[tile][0]: of the id whose run began in an earlier tile; [1]: of the id whose run begins here and goes on.
template <int N, class T>
__device__ __forceinline__ void add_tiles(const T* dOut, const int2* sorted, const int* starts, int vocabulary,
                                          float* dTable, float* shares, long long tiles, int dim) {
    int slabs = (dim + WARP * N - 1) / (WARP * N);
    long long unit = blockIdx.x * static_cast<long long>(TILE_WARPS) + warp_index();
    long long tile = unit / slabs;
    int column = (static_cast<int>(unit % slabs) * WARP + lane_index()) * N;
    if (tile >= tiles || column >= dim) return;
    int begin = static_cast<int>(tile * TILE);
    int end = min(begin + TILE, starts[vocabulary]);
    if (begin >= end) return;
    long long row_elements = dim;
    const T* from_column = dOut + column;
    float* to_column = dTable + column;
    float* share = shares + tile * 2 * row_elements + column;
    float sum[N] = {};
    int current = sorted[begin].y;
    bool early = begin > starts[current];
    for (int from = begin; from < end; from += ROWS_AT_ONCE) {
        int2 place[ROWS_AT_ONCE];
        float rows[ROWS_AT_ONCE][N];
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; r++) place[r] = sorted[min(from + r, end - 1)];
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; r++) load_floats(from_column + place[r].x * row_elements, rows[r]);
#pragma unroll
        for (int r = 0; r < ROWS_AT_ONCE; r++) {
            if (from + r >= end) break;
            if (place[r].y != current) {
                put(early ? share : to_column + current * row_elements, sum, !early);
                current = place[r].y;
                early = false;
#pragma unroll
                for (int k = 0; k < N; k++) sum[k] = 0;
            }
#pragma unroll
            for (int k = 0; k < N; k++) sum[k] += rows[r][k];
        }
    }
    if (early) {
        put(share, sum, false);
    } else if (starts[current + 1] > end) {
        put(share + row_elements, sum, false);
    } else {
        put(to_column + current * row_elements, sum, true);
    }
}

#define TILES(suffix, T)                                                                                        \
    extern "C" __global__ void __launch_bounds__(TILE_WARPS* WARP)                                              \
        embedding_tiles_##suffix(const T* dOut, const int2* sorted, const int* starts, int vocabulary,          \
                                 float* dTable, float* shares, long long tiles, int dim, int vectors) {         \
        if (vectors) {                                                                                          \
            add_tiles<PACKED<T>>(dOut, sorted, starts, vocabulary, dTable, shares, tiles, dim);                 \
        } else {                                                                                                \
            add_tiles<1>(dOut, sorted, starts, vocabulary, dTable, shares, tiles, dim);                         \
        }                                                                                                       \
    }                                                                                                           \
    REGISTER_KERNEL(embedding_tiles_##suffix);

TILES(f32, float)
TILES(bf16, bf16)

constexpr int SHARE_GROUPS = 8;  // most ids have a few shares, if any

// Adds to dTable[id] the shares of the tiles that its positions are spread over, if they are more than one.
extern "C" __global__ void __launch_bounds__(SUM_COLUMNS * SHARE_GROUPS)
    embedding_add_shares(const float* shares, const int* starts, float* dTable, int dim) {
    SHARED float of_group[SHARE_GROUPS][SUM_COLUMNS + 1];
    long long id = blockIdx.x;
    long long first = starts[id] / TILE;
    long long last = (starts[id + 1] - 1) / TILE;
    if (starts[id] == starts[id + 1] || first == last) return;
    int column = static_cast<int>(blockIdx.y) * SUM_COLUMNS + lane_index();
    // The first tile's share is the one whose run begins there, even at the tile's own beginning; of the others, it is
    // the one that began earlier.
    float sum = sum_of_column(shares + (first + 1) * 2 * dim, last - first, 2LL * dim, column, dim, of_group);
    if (warp_index() == 0 && column < dim) {
        dTable[id * dim + column] += shares[(first * 2 + 1) * dim + column] + sum;
    }
}
REGISTER_KERNEL(embedding_add_shares);
