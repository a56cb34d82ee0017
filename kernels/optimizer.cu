// The optimisers over the whole parameter arena: global norm, AdamW, AnyPrecisionAdamW, Adafactor.
//
// All are one pass (Adafactor: three) over flat arenas of n elements, with clipping by the global norm inside the
// reading of the gradients and, where the model computes in bf16, its copy of the weights written on the way. What
// differs between parameters lies in small tables of int64:
//   runs     of AdamW: where a run of parameters that decay, or do not, ends: (end << 1 | decays); then for each block
//            of CHUNK elements the run that its first element is in
//   entries  of Adafactor: ENTRY fields for each parameter; then for each tile the entry that it is part of
//
// norm                 grid ceil(n / 16384), then 1;  block 256.  4 n bytes; sums in double, in a fixed order.
// adamw_f32            grid ceil(n / 4096), block 256.  28 n bytes, 30 n with a bf16 copy.
// any_precision_adamw  grid ceil(n / 4096), block 256.  Each buffer float32 or bf16.
// adafactor_*          six launches in order: squares, means, rows, updates, rates, apply; tiles of 64 x 256 elements,
//                      block 256.  20 n bytes, 22 n with a copy; the rest is by row and column.
// FLOPs:  a few dozen per element; all are bound by memory. Adafactor and the norm add in double, which GPUs without a
//         full double unit do at 1/64 of the float32 rate: up to 64 times slower there than memory is.
// Numerics: AdamW in PyTorch's order. AnyPrecisionAdamW rounds each assignment to the dtype of what is assigned; it
//           gives the CPU's bits, so no product melts into a sum.
// Source: Loshchilov and Hutter 2019 (arXiv 1711.05101); Shazeer and Stern 2018 (arXiv 1804.04235), algorithms 4 to 6.

#include "common/platform.cuh"

#include "common/bf16.cuh"
#include "common/reduce.cuh"

namespace {

constexpr int THREADS = 256;
constexpr int CHUNK = 4096;        // elements of a block of AdamW
constexpr int NORM_CHUNK = 16384;  // elements of a block of the norm

// Ops.Clip: what clipping multiplies the gradients by.
__device__ __forceinline__ float clip_factor(const float* norm, float max_norm) {
    return norm == nullptr ? 1.0f : fminf(1.0f, __fdiv_rn(max_norm, __fadd_rn(*norm, 1e-6f)));
}

// Goes through the runs with growing indices.
struct Decay {
    const long long* run;
    float decayed;

    // `decayed` is what a weight that decays is multiplied by.
    __device__ __forceinline__ Decay(const long long* runs, int count, float decayed)
        : run(runs + runs[count + blockIdx.x]), decayed(decayed) {}

    __device__ __forceinline__ float at(long long index) {
        while (index >= *run >> 1) run++;
        return (*run & 1) != 0 ? decayed : 1.0f;
    }
};

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
norm_partial_f32(const float* x, long long elements, double* partial) {
    const long long start = static_cast<long long>(blockIdx.x) * NORM_CHUNK;
    const long long end = start + NORM_CHUNK < elements ? start + NORM_CHUNK : elements;
    double sum = 0;
    if (can_pack<4>(x, elements)) {
        for (long long i = start + 4 * static_cast<long long>(threadIdx.x); i < end; i += 4 * THREADS) {
            float4 four = load4(x + i);
            sum += static_cast<double>(four.x) * four.x;
            sum += static_cast<double>(four.y) * four.y;
            sum += static_cast<double>(four.z) * four.z;
            sum += static_cast<double>(four.w) * four.w;
        }
    } else {
        for (long long i = start + static_cast<long long>(threadIdx.x); i < end; i += THREADS) {
            sum += static_cast<double>(x[i]) * x[i];
        }
    }
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
REGISTER_KERNEL(norm_partial_f32);

extern "C" __global__ void __launch_bounds__(THREADS) norm_total(const double* partial, int count, float* norm) {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += THREADS) sum += partial[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum));
}
REGISTER_KERNEL(norm_total);

// ---- AdamW

// scalars: StepScalars. beta2's share is 1 - beta2 of the exact beta2, and so on.
extern "C" __global__ void __launch_bounds__(THREADS)
adamw_f32(float* parameters, bf16* copy, const float* gradients, float* first_moment, float* second_moment,
          const float* scalars, const float* norm, float max_norm, const long long* runs, int run_count,
          long long elements, float beta1, float first_share, float beta2, float second_share, float epsilon,
          double weight_decay) {
    const float clip = clip_factor(norm, max_norm);
    const float rate = __fdiv_rn(scalars[0], scalars[1]);
    const float root_correction = static_cast<float>(sqrt(static_cast<double>(scalars[2])));
    Decay decay(runs, run_count, static_cast<float>(__dadd_rn(1.0, -__dmul_rn(scalars[0], weight_decay))));
    const long long start = static_cast<long long>(blockIdx.x) * CHUNK;
    const long long end = start + CHUNK < elements ? start + CHUNK : elements;
    for (long long i = start + 4 * static_cast<long long>(threadIdx.x); i < end; i += 4 * THREADS) {
        Pack<float, 4> p = load_pack<4>(parameters + i);
        const Pack<float, 4> g = load_pack<4>(gradients + i);
        Pack<float, 4> m = load_pack<4>(first_moment + i);
        Pack<float, 4> v = load_pack<4>(second_moment + i);
        Pack<bf16, 4> rounded;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float gradient = __fmul_rn(g[k], clip);
            m[k] = __fmaf_rn(beta1, m[k], __fmul_rn(first_share, gradient));
            v[k] = __fmaf_rn(beta2, v[k], __fmul_rn(__fmul_rn(second_share, gradient), gradient));
            const float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(v[k]), root_correction), epsilon);
            p[k] = __fsub_rn(__fmul_rn(p[k], decay.at(i + k)), __fdiv_rn(__fmul_rn(rate, m[k]), root));
            rounded[k] = to_bf16(p[k]);
        }
        store_pack<4>(parameters + i, p);
        store_pack<4>(first_moment + i, m);
        store_pack<4>(second_moment + i, v);
        if (copy != nullptr) store_pack<4>(copy + i, rounded);
    }
}
REGISTER_KERNEL(adamw_f32);

// ---- AnyPrecisionAdamW

namespace {

// A buffer of float32 or bf16 elements, which of them is known when it runs.
struct Buffer {
    void* elements;
    bool half;

    __device__ __forceinline__ float get(long long i) const {
        return half ? to_float(static_cast<const bf16*>(elements)[i]) : static_cast<const float*>(elements)[i];
    }

    // The value as it would be after being stored.
    __device__ __forceinline__ float round(float value) const { return half ? to_float(to_bf16(value)) : value; }

    __device__ __forceinline__ void set(long long i, float value) const {
        if (half) {
            static_cast<bf16*>(elements)[i] = to_bf16(value);
        } else {
            static_cast<float*>(elements)[i] = value;
        }
    }
};

enum Halves { PARAMETERS = 1, GRADIENTS = 2, FIRST = 4, SECOND = 8, COMPENSATION = 16 };

}  // namespace

// halves: which buffers are bf16, the sum of Halves. compensation null: plain summation.
extern "C" __global__ void __launch_bounds__(THREADS)
any_precision_adamw(void* parameters, bf16* copy, void* gradients, void* first_moment, void* second_moment,
                    void* compensation, int halves, const float* scalars, const float* norm, float max_norm,
                    const long long* runs, int run_count, long long elements, float beta1, float first_share,
                    float beta2, float second_share, float epsilon, double weight_decay) {
    const Buffer p{parameters, (halves & PARAMETERS) != 0};
    const Buffer g{gradients, (halves & GRADIENTS) != 0};
    const Buffer m{first_moment, (halves & FIRST) != 0};
    const Buffer v{second_moment, (halves & SECOND) != 0};
    const Buffer c{compensation, (halves & COMPENSATION) != 0};
    const float clip = clip_factor(norm, max_norm);
    const float rate = __fdiv_rn(scalars[0], scalars[1]);
    const float root_correction = static_cast<float>(sqrt(static_cast<double>(scalars[2])));
    Decay decay(runs, run_count, static_cast<float>(__dadd_rn(1.0, -__dmul_rn(scalars[0], weight_decay))));
    const long long start = static_cast<long long>(blockIdx.x) * CHUNK;
    const long long end = start + CHUNK < elements ? start + CHUNK : elements;
    for (long long i = start + static_cast<long long>(threadIdx.x); i < end; i += THREADS) {
        const float gradient = clip == 1 ? g.get(i) : g.round(__fmul_rn(g.get(i), clip));
        const float first = m.round(__fadd_rn(m.round(__fmul_rn(m.get(i), beta1)), __fmul_rn(first_share, gradient)));
        const float second = v.round(__fadd_rn(v.round(__fmul_rn(v.get(i), beta2)),
                                               __fmul_rn(__fmul_rn(second_share, gradient), gradient)));
        m.set(i, first);
        v.set(i, second);
        const float root = v.round(__fdiv_rn(v.round(__fsqrt_rn(second)), root_correction));
        const float step = __fdiv_rn(__fmul_rn(-rate, first), v.round(__fadd_rn(root, epsilon)));
        const float keep = decay.at(i);
        const float decayed = keep == 1 ? p.get(i) : p.round(__fmul_rn(p.get(i), keep));
        float reached = p.round(__fadd_rn(decayed, step));
        if (compensation != nullptr) {
            const float wanted = c.round(__fadd_rn(c.get(i), step));
            reached = p.round(__fadd_rn(decayed, wanted));
            c.set(i, __fadd_rn(wanted, p.round(__fsub_rn(decayed, reached))));
        }
        p.set(i, reached);
        if (copy != nullptr) copy[i] = to_bf16(reached);
    }
}
REGISTER_KERNEL(any_precision_adamw);

// ---- Adafactor

namespace {

constexpr int TILE_ROWS = 64;
constexpr int TILE_COLUMNS = THREADS;
constexpr int WARPS = THREADS / WARP;
constexpr int STRIPS = TILE_COLUMNS / WARP;  // of 32 columns, in a tile

// A parameter. A vector is a matrix of one row, whose squares are not factored into rows and columns.
struct Entry {
    long long offset;        // elements, in the arena
    long long rows;
    long long columns;
    long long state;         // elements, in the state: rows, then columns; a vector's elements
    long long flags;         // 1 decays, 2 factored
    long long first_tile;    // its tiles follow each other, row by row of tiles
    long long tile_columns;
    long long tile_rows;
    long long row_partials;  // doubles, in the workspace: [tile_columns][rows]
    long long column_partials;  // [tile_rows][columns]
    long long roots;            // [rows], then [columns]: one over the roots of the means

    __device__ __forceinline__ bool decays() const { return (flags & 1) != 0; }
    __device__ __forceinline__ bool factored() const { return (flags & 2) != 0; }
};

constexpr int ENTRY = 11;
static_assert(sizeof(Entry) == ENTRY * sizeof(long long), "the table that Java writes");

// Where a block's tile lies, and the walk over its elements: warp w has rows w, w + 8, ...; a lane every 32nd column.
struct Tile {
    const Entry* entry;
    long long first_row;
    long long first_column;

    __device__ __forceinline__ Tile(const long long* table, int entries) {
        entry = reinterpret_cast<const Entry*>(table) + table[static_cast<long long>(entries) * ENTRY + blockIdx.x];
        const long long tile = static_cast<long long>(blockIdx.x) - entry->first_tile;
        first_row = tile / entry->tile_columns * TILE_ROWS;
        first_column = tile % entry->tile_columns * TILE_COLUMNS;
    }

    // visit(row, column, strip, index in the arena), then end_of_row(row), for every element of this thread.
    template <class Visit, class EndOfRow>
    __device__ __forceinline__ void walk(Visit visit, EndOfRow end_of_row) const {
        for (int k = warp_index(); k < TILE_ROWS; k += WARPS) {
            const long long row = first_row + k;
            if (row >= entry->rows) break;   // the whole warp
#pragma unroll
            for (int strip = 0; strip < STRIPS; strip++) {
                const long long column = first_column + strip * WARP + lane_index();
                if (column < entry->columns) visit(row, column, strip, entry->offset + row * entry->columns + column);
            }
            end_of_row(row);
        }
    }
};

__device__ __forceinline__ double mixed(float before, double now, float memory) {
    return static_cast<double>(memory) * before + (1.0 - memory) * now;
}

// Workspace, in doubles: the squares of each tile's parameters and of its updates, each entry's two factors, then what
// the entries' fields point to.
struct Workspace {
    double* parameter_squares;  // [tiles]
    double* update_squares;     // [tiles]
    double* factors;            // [entries][2]: of the update, and of the weight

    __device__ __forceinline__ Workspace(double* base, long long tiles)
        : parameter_squares(base), update_squares(base + tiles), factors(base + 2 * tiles) {}
};

}  // namespace

// 1. Sums of squared gradients by row and by column within a tile; a vector's means at once.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_squares(const float* parameters, const float* gradients, float* state, const float* scalars,
                  const float* norm, float max_norm, const long long* table, int entries, long long tiles,
                  double* workspace, float epsilon1) {
    SHARED double column_sums[WARPS][TILE_COLUMNS];
    const Tile tile(table, entries);
    const Entry& entry = *tile.entry;
    const float clip = clip_factor(norm, max_norm);
    double columns[STRIPS] = {};
    double row_sum = 0;
    double squares = 0;
    double* row_partials = workspace + entry.row_partials + tile.first_column / TILE_COLUMNS * entry.rows;
    tile.walk(
        [&](long long, long long, int strip, long long index) {
            const double gradient = __fmul_rn(gradients[index], clip);
            const double square = gradient * gradient + epsilon1;
            const double weight = parameters[index];
            row_sum += square;
            columns[strip] += square;
            squares += weight * weight;
        },
        [&](long long row) {
            const double sum = warp_sum(row_sum);
            if (entry.factored() && lane_index() == 0) row_partials[row] = sum;
            row_sum = 0;
        });
#pragma unroll
    for (int strip = 0; strip < STRIPS; strip++) {
        column_sums[warp_index()][strip * WARP + lane_index()] = columns[strip];
    }
    squares = block_sum<THREADS>(squares);
    if (threadIdx.x == 0) Workspace(workspace, tiles).parameter_squares[blockIdx.x] = squares;
    __syncthreads();
    const long long column = tile.first_column + threadIdx.x;
    if (column >= entry.columns) return;
    double sum = 0;
    for (int warp = 0; warp < WARPS; warp++) sum += column_sums[warp][threadIdx.x];
    if (entry.factored()) {
        workspace[entry.column_partials + tile.first_row / TILE_ROWS * entry.columns + column] = sum;
        return;
    }
    const double mean = mixed(state[entry.state + column], sum, scalars[3]);
    state[entry.state + column] = static_cast<float>(mean);
    workspace[entry.roots + entry.rows + column] = 1.0 / sqrt(mean);
    if (column == 0) workspace[entry.roots] = 1.0;
}
REGISTER_KERNEL(adafactor_squares);

// 2. The running means by row and by column, a thread each. Rows keep their mean for the next step.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_means(float* state, const float* scalars, const long long* table, int entries, long long state_elements,
                double* workspace) {
    const long long index = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    if (index >= state_elements) return;
    const Entry* all = reinterpret_cast<const Entry*>(table);
    int low = 0;
    for (int high = entries; high - low > 1;) {
        const int middle = (low + high) / 2;
        if (all[middle].state <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const Entry& entry = all[low];
    if (!entry.factored()) return;
    const long long place = index - entry.state;
    double sum = 0;
    if (place < entry.rows) {
        for (long long k = 0; k < entry.tile_columns; k++) {
            sum += workspace[entry.row_partials + k * entry.rows + place];
        }
        const double mean = mixed(state[index], sum / static_cast<double>(entry.columns), scalars[3]);
        state[index] = static_cast<float>(mean);
        workspace[entry.roots + place] = mean;
    } else {
        const long long column = place - entry.rows;
        for (long long k = 0; k < entry.tile_rows; k++) {
            sum += workspace[entry.column_partials + k * entry.columns + column];
        }
        const double mean = mixed(state[index], sum / static_cast<double>(entry.rows), scalars[3]);
        state[index] = static_cast<float>(mean);
        workspace[entry.roots + place] = 1.0 / sqrt(mean);
    }
}
REGISTER_KERNEL(adafactor_means);

// 3. Rows in relation to their mean, a block for each entry.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_rows(const long long* table, double* workspace) {
    const Entry& entry = reinterpret_cast<const Entry*>(table)[blockIdx.x];
    if (!entry.factored()) return;
    double* rows = workspace + entry.roots;
    double sum = 0;
    for (long long row = threadIdx.x; row < entry.rows; row += THREADS) sum += rows[row];
    const double mean = block_sum<THREADS>(sum) / static_cast<double>(entry.rows);
    for (long long row = threadIdx.x; row < entry.rows; row += THREADS) rows[row] = 1.0 / sqrt(rows[row] / mean);
}
REGISTER_KERNEL(adafactor_rows);

// 4. The squares of a tile's updates.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_updates(const float* gradients, const float* norm, float max_norm, const long long* table, int entries,
                  long long tiles, double* workspace) {
    const Tile tile(table, entries);
    const float clip = clip_factor(norm, max_norm);
    const double* rows = workspace + tile.entry->roots;
    const double* columns = rows + tile.entry->rows;
    double squares = 0;
    tile.walk(
        [&](long long row, long long column, int, long long index) {
            const double update = rows[row] * columns[column] * __fmul_rn(gradients[index], clip);
            squares += update * update;
        },
        [](long long) {});
    squares = block_sum<THREADS>(squares);
    if (threadIdx.x == 0) Workspace(workspace, tiles).update_squares[blockIdx.x] = squares;
}
REGISTER_KERNEL(adafactor_updates);

// 5. What an entry's updates and weights are multiplied by, a block for each.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_rates(const float* scalars, const long long* table, long long tiles, double* workspace, float epsilon2,
                float clip_threshold, int scale_parameter, float weight_decay, int dynamic_weight_decay) {
    const Entry& entry = reinterpret_cast<const Entry*>(table)[blockIdx.x];
    const Workspace own(workspace, tiles);
    double parameter_squares = 0;
    double update_squares = 0;
    for (long long k = threadIdx.x; k < entry.tile_rows * entry.tile_columns; k += THREADS) {
        parameter_squares += own.parameter_squares[entry.first_tile + k];
        update_squares += own.update_squares[entry.first_tile + k];
    }
    parameter_squares = block_sum<THREADS>(parameter_squares);
    update_squares = block_sum<THREADS>(update_squares);
    if (threadIdx.x != 0) return;
    const double elements = static_cast<double>(entry.rows * entry.columns);
    double rate = scalars[0];
    if (scale_parameter != 0) rate *= fmax(static_cast<double>(epsilon2), sqrt(parameter_squares / elements));
    const double decay = dynamic_weight_decay != 0 ? rate * rate : weight_decay;
    own.factors[2 * blockIdx.x] = rate / fmax(1.0, sqrt(update_squares / elements) / clip_threshold);
    own.factors[2 * blockIdx.x + 1] = entry.decays() ? 1.0 - rate * decay : 1.0;
}
REGISTER_KERNEL(adafactor_rates);

// 6. The new parameters.
extern "C" __global__ void __launch_bounds__(THREADS)
adafactor_apply(float* parameters, bf16* copy, const float* gradients, const float* norm, float max_norm,
                const long long* table, int entries, long long tiles, const double* workspace) {
    const Tile tile(table, entries);
    const float clip = clip_factor(norm, max_norm);
    const double* rows = workspace + tile.entry->roots;
    const double* columns = rows + tile.entry->rows;
    const double* factors = workspace + 2 * tiles + 2 * table[static_cast<long long>(entries) * ENTRY + blockIdx.x];
    tile.walk(
        [&](long long row, long long column, int, long long index) {
            const double update = rows[row] * columns[column] * __fmul_rn(gradients[index], clip);
            const float reached = static_cast<float>(parameters[index] * factors[1] - factors[0] * update);
            parameters[index] = reached;
            if (copy != nullptr) copy[index] = to_bf16(reached);
        },
        [](long long) {});
}
REGISTER_KERNEL(adafactor_apply);
