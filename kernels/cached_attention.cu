// Attention with a cache of keys and values, for generation: decoding (one new position) and prefill (a few dozen).
//
// qkv [batch * length, (heads + 2 * keyValueHeads) * h]   cache [batch, capacity, 2 * keyValueHeads * h]
// out [batch * length, heads * h]   past I32 [batch]   partial F32, see below
// Position past + i of a sequence sees positions 0 to past + i. Keys and values of positions from `past` on are read
// from qkv and copied to the cache on the way: nobody reads there what somebody else is to write, so appending needs no
// launch of its own. `past` is data (programs are captured as graphs): the grid follows from the capacity, and a block
// whose part of the sequence does not exist yet ends at once.
//
// Launch: grid batch * keyValueHeads * rowTiles * splits, the split running fastest; then, if splits > 1, combine with
// grid batch * length * heads and block 256. A row tile is 16 of the length * group rows that share a key/value head
// (position by position, so that a tile sees about the same keys). A split is the same share of each sequence, whole
// steps long; its results stay unnormalised in `partial`, [rows, heads, splits, h], then [rows, heads, splits, 2]
// (largest score and sum), and are added up in the order of the splits.
//   cached_attention_{32,64,128}_bf16  head sizes up to that, multiples of 8: block 32 * {1, 2, 4, 8}; a warp takes 16
//                                      keys at a time straight into registers (row_fragments.cuh), mma (m16n8k16); the
//                                      warps' results are added in pairs: 4 with 0, 5 with 1, ...
//   cached_attention_cores_{f32,bf16}  everything up to 128: block 128, steps of 32 keys through shared memory, float32
//                                      arithmetic
// Bytes:  decoding 2 * keyValueHeads * h * (past + 1) elements of each sequence for one row tile (16 rows), twice that
//         for 32 rows, ...; with splits also 8h + 8 bytes written and read for each head and split.
// FLOPs:  4 * heads * h * (past + 1): with 16 heads in bf16 16 FLOP a byte, above the float32 cores' ridge of an H200
//         (14), far below the tensor cores' (206).
// Bound:  bandwidth in long contexts (64 Ki positions of 256 bytes: 16.8 MB, 4 us at 4.3 TB/s), latency in short ones.
// Numerics: scores, softmax and sums in float32, the softmax online per warp; probabilities are rounded to bf16 as
//         operands of mma; a masked score never meets exp. Fixed order of all sums for given splits.
// Source: online softmax, Milakov and Gimelshein 2018 (arXiv 1805.02867); splitting the sequence when decoding:
//         Flash-Decoding, Dao et al. 2023; query heads as rows: Shazeer 2019 (arXiv 1911.02150).

#include "common/platform.cuh"

#include "common/fast_math.cuh"
#include "common/reduce.cuh"
#include "common/row_fragments.cuh"

namespace {

constexpr int TILE = 16;  // rows of a block

struct Sizes {
    int length;
    int heads;
    int key_value_heads;
    int head_size;
    int capacity;
    int splits;
    float scale;
    int alibi;
};

// What a block computes: its place in the problem, and where things lie.
template <class T>
struct Part {
    const T* new_rows;  // of the sequence, [length, packedWidth]
    T* cached;          // [capacity, keyValueWidth]
    int sequence;
    int key_value_head;
    int first_row;  // of the tile; row = position * group + head
    int split;
    int group;
    int past;
    int begin;  // keys of the split that the tile sees: begin <= key < end
    int end;
    int share_end;  // keys of the split, begin <= key < share_end, whoever sees them

    __device__ __forceinline__ Part(const T* qkv, T* cache, const int* past_of, const Sizes& sizes, int step)
        : sizes(sizes) {
        unsigned index = blockIdx.x;
        split = index % sizes.splits;
        index /= sizes.splits;
        group = sizes.heads / sizes.key_value_heads;
        unsigned tiles = (sizes.length * group + TILE - 1) / TILE;
        first_row = static_cast<int>(index % tiles) * TILE;
        index /= tiles;
        key_value_head = index % sizes.key_value_heads;
        sequence = index / sizes.key_value_heads;
        past = min(max(past_of[sequence], 0), sizes.capacity);
        packed_width = (sizes.heads + 2 * sizes.key_value_heads) * sizes.head_size;
        new_rows = qkv + static_cast<long long>(sequence) * sizes.length * packed_width;
        cached = cache + static_cast<long long>(sequence) * sizes.capacity * key_value_width();

        int total = past + sizes.length;
        int steps = (total + step - 1) / step;
        int share = (steps + sizes.splits - 1) / sizes.splits * step;
        begin = static_cast<int>(min(static_cast<long long>(split) * share, static_cast<long long>(total)));
        share_end = static_cast<int>(min(static_cast<long long>(begin) + share, static_cast<long long>(total)));
        end = min(share_end, past + min(first_row + TILE - 1, rows() - 1) / group + 1);
    }

    __device__ __forceinline__ int rows() const { return sizes.length * group; }
    __device__ __forceinline__ int key_value_width() const { return 2 * sizes.key_value_heads * sizes.head_size; }
    // From a key to its value, in new rows as in the cache.
    __device__ __forceinline__ int to_value() const { return sizes.key_value_heads * sizes.head_size; }

    __device__ __forceinline__ T* cached_key(int key) const {
        return cached + static_cast<long long>(key) * key_value_width() + key_value_head * sizes.head_size;
    }
    __device__ __forceinline__ const T* new_key(int key) const {
        return new_rows + static_cast<long long>(key - past) * packed_width +
               (sizes.heads + key_value_head) * sizes.head_size;
    }
    __device__ __forceinline__ const T* key(int key) const { return key < past ? cached_key(key) : new_key(key); }

    // Head and new position of a row of the problem, and where its query lies.
    __device__ __forceinline__ int head(int row) const { return key_value_head * group + row % group; }
    __device__ __forceinline__ int position(int row) const { return row / group; }
    __device__ __forceinline__ const T* query(int row) const {
        return new_rows + static_cast<long long>(position(row)) * packed_width + head(row) * sizes.head_size;
    }
    // Index of a row's results: out is [.., h], partial [.., splits, h].
    __device__ __forceinline__ long long result(int row) const {
        return (static_cast<long long>(sequence) * sizes.length + position(row)) * sizes.heads + head(row);
    }
    __device__ __forceinline__ float slope(int row) const {
        return sizes.alibi ? exp2f(-8.0f * (head(row) + 1) / sizes.heads) * LOG2_E : 0;
    }

    // Copies the split's new keys and values to the cache, `WIDTH` elements at a time. One row tile does it.
    template <int WIDTH>
    __device__ __forceinline__ void append() const {
        if (first_row != 0) return;
        int width = sizes.head_size / WIDTH;
        int first = max(begin, past);
        int count = (min(share_end, sizes.capacity) - first) * 2 * width;
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            int key = first + i / (2 * width);
            int rest = i % (2 * width);
            int at = rest < width ? rest * WIDTH : to_value() + (rest - width) * WIDTH;
            store_pack<WIDTH>(cached_key(key) + at, load_pack<WIDTH>(new_key(key) + at));
        }
    }

private:
    Sizes sizes;
    int packed_width;
};

// Where unnormalised results and, behind all of them, largest scores and sums lie.
struct Partial {
    float* results;
    float* statistics;

    __device__ __forceinline__ Partial(float* partial, long long rows_and_heads, const Sizes& sizes)
        : results(partial), statistics(partial + rows_and_heads * sizes.splits * sizes.head_size) {}
};

__device__ __forceinline__ long long rows_and_heads(int batch, const Sizes& sizes) {
    return static_cast<long long>(batch) * sizes.length * sizes.heads;
}

// ---- bf16, tensor cores

// A warp's results so far for rows g and g+8: sums of p v, of p, and the largest score in units of log2.
template <int CHUNKS>
struct Running {
    float sum[CHUNKS][4][4];
    float weight[2];
    float largest[2];

    __device__ __forceinline__ Running() {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            weight[half] = 0;
            largest[half] = -INFINITY;
        }
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int word = 0; word < 4; word++) {
#pragma unroll
                for (int i = 0; i < 4; i++) sum[c][word][i] = 0;
            }
        }
    }

    // Makes `candidate` the largest score, if it is, and scales what there is; returns what to subtract from scores.
    __device__ __forceinline__ float raise(int half, float candidate) {
        float before = largest[half];
        largest[half] = max(before, candidate);
        float subtract = largest[half] == -INFINITY ? 0 : largest[half];
        scale(half, fast_exp2(before - subtract));
        return subtract;
    }
    __device__ __forceinline__ void scale(int half, float factor) {
        weight[half] *= factor;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int word = 0; word < 4; word++) {
                sum[c][word][2 * half] *= factor;
                sum[c][word][2 * half + 1] *= factor;
            }
        }
    }

    // Another warp's results, through shared memory: values of a lane lie a warp apart.
    static constexpr int VALUES = CHUNKS * 16 + 4;

    __device__ __forceinline__ void put(float* slot) const {
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int i = 0; i < 16; i++) slot[(16 * c + i) * WARP] = sum[c][i / 4][i % 4];
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            slot[(16 * CHUNKS + half) * WARP] = weight[half];
            slot[(16 * CHUNKS + 2 + half) * WARP] = largest[half];
        }
    }
    __device__ __forceinline__ void add(const float* slot) {
        float factor[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float other = slot[(16 * CHUNKS + 2 + half) * WARP];
            float subtract = raise(half, other);
            factor[half] = fast_exp2(other - subtract);
            weight[half] += factor[half] * slot[(16 * CHUNKS + half) * WARP];
        }
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
#pragma unroll
            for (int i = 0; i < 16; i++) sum[c][i / 4][i % 4] += factor[i / 2 % 2] * slot[(16 * c + i) * WARP];
        }
    }
};

constexpr int MOST_WARPS = 8;

// Rows of 16 keys or values, as lanes hold them: rows g and g+8.
template <int CHUNKS>
struct SixteenRows {
    Chunk chunks[2][CHUNKS];

    // `offset` from the key to what is loaded.
    __device__ __forceinline__ void load(const Part<bf16>& part, int first, int offset, int head_size) {
        int lane = lane_index();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int key = first + lane / 4 + 8 * half;
            const bf16* row = part.key(key) + offset + 8 * (lane % 4);
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) {
                bool valid = key < part.end && CHUNKED * c + 8 * (lane % 4) < head_size;
                chunks[half][c] = load_chunk(row + CHUNKED * c, valid);
            }
        }
    }
};

template <int SIZE>
__device__ __forceinline__ void attend(const bf16* qkv, bf16* cache, const int* past, bf16* out, float* partial,
                                       int batch, const Sizes& sizes) {
    constexpr int CHUNKS = SIZE / CHUNKED;
    SHARED float exchange[MOST_WARPS / 2][Running<CHUNKS>::VALUES][WARP];
    int warps = blockDim.x / WARP;
    int warp = warp_index();
    int lane = lane_index();
    int g = lane / 4;
    int t = lane % 4;
    Part<bf16> part(qkv, cache, past, sizes, 16 * warps);

    Chunk q[2][CHUNKS];
    float slope[2];
    int position[2];  // in the sequence; -1 for padding
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = part.first_row + g + 8 * half;
        bool valid = row < part.rows();
        position[half] = valid ? part.past + part.position(row) : -1;
        slope[half] = part.slope(row);
        const bf16* from = part.query(valid ? row : 0) + 8 * t;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            q[half][c] = load_chunk(from + CHUNKED * c, valid && CHUNKED * c + 8 * t < sizes.head_size);
        }
    }

    Running<CHUNKS> running;
    SixteenRows<CHUNKS> keys;
    SixteenRows<CHUNKS> values;
    int first = part.begin + 16 * warp;
    if (first < part.end) {
        keys.load(part, first, 0, sizes.head_size);
        values.load(part, first, part.to_value(), sizes.head_size);
    }
    part.append<8>();
    while (first < part.end) {
        float s[2][4];
#pragma unroll
        for (int n = 0; n < 2; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) s[n][i] = 0;
#pragma unroll
            for (int c = 0; c < CHUNKS; c++) multiply_chunk(s[n], q[0][c], q[1][c], keys.chunks[n][c]);
        }
        // The next keys are on their way while these are weighed, the next values while the next keys are.
        int next = first + 16 * warps;
        if (next < part.end) keys.load(part, next, 0, sizes.head_size);
        float candidate[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int n = 0; n < 2; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = first + 8 * n + 2 * t + i % 2;
                float biased = s[n][i] * (sizes.scale * LOG2_E) - slope[i / 2] * (position[i / 2] - key);
                s[n][i] = key < part.end && key <= position[i / 2] ? biased : -INFINITY;
                candidate[i / 2] = max(candidate[i / 2], s[n][i]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float subtract = running.raise(half, quad_max(candidate[half]));
#pragma unroll
            for (int n = 0; n < 2; n++) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[n][i] = fast_exp2(s[n][i] - subtract);
                    running.weight[half] += s[n][i];  // a lane's share; lanes are added at the end
                }
            }
        }
        unsigned p[4] = {pack_bf16(s[0][0], s[0][1]), pack_bf16(s[0][2], s[0][3]), pack_bf16(s[1][0], s[1][1]),
                         pack_bf16(s[1][2], s[1][3])};
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            Chunk low = turned(values.chunks[0][c]);
            Chunk high = turned(values.chunks[1][c]);
#pragma unroll
            for (int word = 0; word < 4; word++) {
                unsigned right[2] = {low[word], high[word]};
                mma_m16n8k16(running.sum[c][word], p, right);
            }
        }
        if (next < part.end) values.load(part, next, part.to_value(), sizes.head_size);
        first = next;
    }

    running.weight[0] = quad_sum(running.weight[0]);
    running.weight[1] = quad_sum(running.weight[1]);
    for (int half = warps / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) running.put(&exchange[warp - half][0][lane]);
        __syncthreads();
        if (warp < half) running.add(&exchange[warp][0][lane]);
        __syncthreads();
    }
    if (warp != 0) return;
    Partial to(partial, rows_and_heads(batch, sizes), sizes);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = part.first_row + g + 8 * half;
        if (row >= part.rows()) continue;
        long long index = part.result(row);
        float inverse = 1 / running.weight[half];
        if (sizes.splits > 1) {
            index = index * sizes.splits + part.split;
            if (t == 0) {
                to.statistics[2 * index] = running.largest[half];
                to.statistics[2 * index + 1] = running.weight[half];
            }
        }
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            int element = CHUNKED * c + 8 * t;
            if (element >= sizes.head_size) continue;
            if (sizes.splits == 1) {
                Chunk chunk;
#pragma unroll
                for (int word = 0; word < 4; word++) {
                    chunk[word] = pack_bf16(running.sum[c][word][2 * half] * inverse,
                                            running.sum[c][word][2 * half + 1] * inverse);
                }
                store_chunk(out + index * sizes.head_size + element, chunk);
            } else if (running.weight[half] > 0) {
                float* results = to.results + index * sizes.head_size + element;
#pragma unroll
                for (int word = 0; word < 4; word += 2) {
                    store4(results + 2 * word,
                           make_float4(running.sum[c][word][2 * half], running.sum[c][word][2 * half + 1],
                                       running.sum[c][word + 1][2 * half], running.sum[c][word + 1][2 * half + 1]));
                }
            }
        }
    }
}

// ---- float32 cores

constexpr int STEP = 32;  // keys at a time, a lane each
constexpr int CORE_WARPS = 4;
constexpr int CORE_ROWS = TILE / CORE_WARPS;  // of a warp
constexpr int LONGEST_HEAD = 128;

// A row of keys, values or queries into shared memory as float32; zeros where !valid and behind its end.
template <class T>
__device__ __forceinline__ void stage(float* to, const T* row, int element, int head_size, bool vector, bool valid) {
    if (vector) {
        float4 value = make_float4(0, 0, 0, 0);
        if (valid) value = load4(row + element);
        store4(to + element, value);
        return;
    }
#pragma unroll
    for (int i = element; i < element + 4; i++) to[i] = valid && i < head_size ? load_float(row, i) : 0;
}

__device__ __forceinline__ float dot4(float sum, const float4& a, const float4& b) {
    sum = __fmaf_rn(a.x, b.x, sum);
    sum = __fmaf_rn(a.y, b.y, sum);
    sum = __fmaf_rn(a.z, b.z, sum);
    return __fmaf_rn(a.w, b.w, sum);
}

// Shared: keys, values [32, stride], queries [16, stride], probabilities [16, 32]; stride as `padded` says.
template <class T>
__device__ __forceinline__ void attend_on_cores(const T* qkv, T* cache, const int* past, T* out, float* partial,
                                                int batch, const Sizes& sizes) {
    DYNAMIC_SHARED(float, shared);
    int parts = (sizes.head_size + 3) / 4;
    int stride = 4 * (parts | 1);  // an odd number of 16-byte parts: lanes that read rows of their own share no bank
    float* keys = shared;
    float* values = keys + STEP * stride;
    float* queries = values + STEP * stride;
    float* p = queries + TILE * stride;
    bool vector = can_pack<4>(qkv, sizes.head_size) && can_pack<4>(cache, 4);
    int lane = lane_index();
    int own = CORE_ROWS * warp_index();
    Part<T> part(qkv, cache, past, sizes, STEP);

    for (int i = threadIdx.x; i < TILE * parts; i += blockDim.x) {
        int row = part.first_row + i / parts;
        bool valid = row < part.rows();
        stage(queries + i / parts * stride, part.query(valid ? row : 0), i % parts * 4, sizes.head_size, vector, valid);
    }
    if (vector) {
        part.template append<4>();
    } else {
        part.template append<1>();
    }
    float sum[CORE_ROWS][LONGEST_HEAD / WARP];  // of a row, elements lane, lane + 32, ...
    float weight[CORE_ROWS];
    float largest[CORE_ROWS];
    float slope[CORE_ROWS];
    int position[CORE_ROWS];
#pragma unroll
    for (int r = 0; r < CORE_ROWS; r++) {
        int row = part.first_row + own + r;
        weight[r] = 0;
        largest[r] = -INFINITY;
        slope[r] = part.slope(row);
        position[r] = row < part.rows() ? part.past + part.position(row) : -1;
#pragma unroll
        for (int m = 0; m < LONGEST_HEAD / WARP; m++) sum[r][m] = 0;
    }

    for (int first = part.begin; first < part.end; first += STEP) {
        __syncthreads();  // the last step's rows have been read
        for (int i = threadIdx.x; i < 2 * STEP * parts; i += blockDim.x) {
            int which = i / parts;
            int key = first + which % STEP;
            bool valid = key < part.end;
            const T* row = part.key(valid ? key : part.begin) + (which < STEP ? 0 : part.to_value());
            stage(keys + which * stride, row, i % parts * 4, sizes.head_size, vector, valid);
        }
        __syncthreads();
        float s[CORE_ROWS];
#pragma unroll
        for (int r = 0; r < CORE_ROWS; r++) s[r] = 0;
        for (int element = 0; element < sizes.head_size; element += 4) {
            float4 key = load4(keys + lane * stride + element);
#pragma unroll
            for (int r = 0; r < CORE_ROWS; r++) s[r] = dot4(s[r], load4(queries + (own + r) * stride + element), key);
        }
        int key = first + lane;
#pragma unroll
        for (int r = 0; r < CORE_ROWS; r++) {
            float biased = s[r] * (sizes.scale * LOG2_E) - slope[r] * (position[r] - key);
            s[r] = key < part.end && key <= position[r] ? biased : -INFINITY;
            float before = largest[r];
            largest[r] = max(before, warp_max(s[r]));
            float subtract = largest[r] == -INFINITY ? 0 : largest[r];
            float factor = fast_exp2(before - subtract);
            s[r] = fast_exp2(s[r] - subtract);
            weight[r] = weight[r] * factor + warp_sum(s[r]);
            p[(own + r) * STEP + lane] = s[r];
#pragma unroll
            for (int m = 0; m < LONGEST_HEAD / WARP; m++) sum[r][m] *= factor;
        }
        __syncwarp();
        int count = min(STEP, part.end - first);
        for (int j = 0; j < count; j++) {
#pragma unroll
            for (int m = 0; m < LONGEST_HEAD / WARP; m++) {
                int element = lane + WARP * m;
                if (WARP * m < sizes.head_size) {
                    float value = element < sizes.head_size ? values[j * stride + element] : 0;
#pragma unroll
                    for (int r = 0; r < CORE_ROWS; r++) {
                        sum[r][m] = __fmaf_rn(p[(own + r) * STEP + j], value, sum[r][m]);
                    }
                }
            }
        }
    }

    Partial to(partial, rows_and_heads(batch, sizes), sizes);
#pragma unroll
    for (int r = 0; r < CORE_ROWS; r++) {
        int row = part.first_row + own + r;
        if (row >= part.rows()) continue;
        long long index = part.result(row);
        if (sizes.splits > 1) {
            index = index * sizes.splits + part.split;
            if (lane == 0) {
                to.statistics[2 * index] = largest[r];
                to.statistics[2 * index + 1] = weight[r];
            }
        }
#pragma unroll
        for (int m = 0; m < LONGEST_HEAD / WARP; m++) {
            int element = lane + WARP * m;
            if (element >= sizes.head_size) continue;
            if (sizes.splits == 1) {
                store_float(out, index * sizes.head_size + element, sum[r][m] / weight[r]);
            } else if (weight[r] > 0) {
                to.results[index * sizes.head_size + element] = sum[r][m];
            }
        }
    }
}

// ---- adding up the splits

constexpr int COMBINE_THREADS = 256;

// Of the splits group, group + groups, ...: the sum of WIDTH elements, scaled to one largest score.
template <int WIDTH>
__device__ __forceinline__ Pack<float, WIDTH> combined(const float* results, const float* statistics, float largest,
                                                       int group, int groups, const Sizes& sizes) {
    Pack<float, WIDTH> sum;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) sum[i] = 0;
#pragma unroll 8
    for (int split = group; split < sizes.splits; split += groups) {
        // A split that saw nothing has written no results.
        if (statistics[2 * split + 1] > 0) {
            float factor = fast_exp2(statistics[2 * split] - largest);
            Pack<float, WIDTH> value = load_pack<WIDTH>(results + static_cast<long long>(split) * sizes.head_size);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) sum[i] = __fmaf_rn(factor, value[i], sum[i]);
        }
    }
    return sum;
}

// A block per row and head. Thread (a, e) adds WIDTH elements of splits a, a + n, ...; the n sums are added in order.
template <int WIDTH, class T>
__device__ __forceinline__ void combine(const float* partial, T* out, int batch, const Sizes& sizes) {
    SHARED float sums[COMBINE_THREADS * WIDTH];
    Partial from(const_cast<float*>(partial), rows_and_heads(batch, sizes), sizes);
    long long first = static_cast<long long>(blockIdx.x) * sizes.splits;
    const float* statistics = from.statistics + 2 * first;

    float largest = -INFINITY;
    for (int i = threadIdx.x; i < sizes.splits; i += COMBINE_THREADS) largest = max(largest, statistics[2 * i]);
    largest = block_max<COMBINE_THREADS>(largest);
    float weight = 0;
    for (int i = threadIdx.x; i < sizes.splits; i += COMBINE_THREADS) {
        weight += fast_exp2(statistics[2 * i] - largest) * statistics[2 * i + 1];
    }
    weight = block_sum<COMBINE_THREADS>(weight);

    int across = sizes.head_size / WIDTH;
    int groups = COMBINE_THREADS / across;
    int group = threadIdx.x / across;
    int element = threadIdx.x % across * WIDTH;
    if (group < groups) {
        const float* results = from.results + first * sizes.head_size + element;
        Pack<float, WIDTH> sum = combined<WIDTH>(results, statistics, largest, group, groups, sizes);
        store_pack<WIDTH>(sums + group * sizes.head_size + element, sum);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < sizes.head_size; i += COMBINE_THREADS) {
        float sum = 0;
        for (int other = 0; other < groups; other++) sum += sums[other * sizes.head_size + i];
        store_float(out, static_cast<long long>(blockIdx.x) * sizes.head_size + i, sum / weight);
    }
}

}  // namespace

#define SIZE_PARAMETERS                                                                                        \
    int batch, int length, int heads, int key_value_heads, int head_size, int capacity, int splits, float scale, \
        int alibi
#define SIZES {length, heads, key_value_heads, head_size, capacity, splits, scale, alibi}

#define ATTEND(name, threads, blocks, type, call)                                                             \
    extern "C" __global__ void __launch_bounds__(threads, blocks)                                             \
        name(const type* __restrict__ qkv, type* cache, const int* __restrict__ past, type* __restrict__ out, \
             float* __restrict__ partial, SIZE_PARAMETERS) {                                                  \
        call(qkv, cache, past, out, partial, batch, SIZES);                                                   \
    }                                                                                                         \
    REGISTER_KERNEL(name)

ATTEND(cached_attention_32_bf16, 256, 2, bf16, attend<32>);
ATTEND(cached_attention_64_bf16, 256, 2, bf16, attend<64>);
ATTEND(cached_attention_128_bf16, 256, 1, bf16, attend<128>);
ATTEND(cached_attention_cores_f32, 128, 4, float, attend_on_cores);
ATTEND(cached_attention_cores_bf16, 128, 4, bf16, attend_on_cores);

#define COMBINE(name, type)                                                                \
    extern "C" __global__ void __launch_bounds__(COMBINE_THREADS)                          \
        name(const float* __restrict__ partial, type* __restrict__ out, SIZE_PARAMETERS) { \
        if (head_size % 4 == 0) {                                                          \
            combine<4>(partial, out, batch, SIZES);                                        \
        } else {                                                                           \
            combine<1>(partial, out, batch, SIZES);                                        \
        }                                                                                  \
    }                                                                                      \
    REGISTER_KERNEL(name)

COMBINE(cached_attention_combine_f32, float);
COMBINE(cached_attention_combine_bf16, bf16);
