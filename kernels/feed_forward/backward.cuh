// Backward: the tile's normalised rows and the gradient of its result stay in shared memory, the gradient of
// LayerNorm's output in registers. For each slice of SLICE hidden columns three products,
//
//   hidden = normed W1^T + b1     dActivated = d W2     dNormed += dHidden W1,  dHidden = dActivated gelu'(hidden)
//
// the second together with GELU and its derivative. W1 serves twice, so it stays while the other weights pass: of five
// pieces of shared memory, W1's halves (by columns) have two, W2's (by rows) two, and the next W1's first half one.

#pragma once

#include "../common/column_sums.cuh"
#include "slices.cuh"

namespace feed_forward {

// What is written for the gradients of the matrices, and this block's sums for those of the vectors.
struct Written {
    bf16* normed;     // [rows, D]
    bf16* activated;  // [rows, hidden]
    bf16* d_hidden;   // [rows, hidden]
    bf16* d_out;      // [rows, D], the gradient of the result once more
    float* sums;      // [blocks][norm D, norm's bias D, contract's bias D, expand's bias hidden]
};

template <int D>
struct Backward {
    static constexpr int HALF = D / 2;
    static constexpr int PIECE = SLICE * HALF;
    static constexpr int SHARED_BYTES = 2 * (2 * LAYER_ROWS * D + LAYER_ROWS * SLICE + 5 * PIECE);
    static_assert(SHARED_BYTES <= MOST_SHARED_BYTES, "a block has no more");
    static constexpr int N = D / 16;
    static constexpr int GROUPS = D / 16 * (HIDDEN_N / 2);
    static_assert(5 * PIECE * 2 >= NORM_BACKWARD_FLOATS<D> * 4, "LayerNorm's sums find room where the weights were");

    const Weights weights;
    const Written written;
    const long long rows;
    bf16* const normed;    // [LAYER_ROWS][D]; at the end x
    bf16* const d_out;     // [LAYER_ROWS][D]; at the end the gradient of x
    bf16* const d_hidden;  // [LAYER_ROWS][SLICE]
    bf16* const pieces;
    int turn;              // slices so far, modulo 5
    float d_normed[2][N][4];
    float hidden[2][HIDDEN_N][4];
    float d_activated[2][HIDDEN_N][4];

    __device__ __forceinline__ Backward(const Weights& weights, const Written& written, long long rows, bf16* shared)
        : weights(weights),
          written(written),
          rows(rows),
          normed(shared),
          d_out(shared + LAYER_ROWS * D),
          d_hidden(shared + 2 * LAYER_ROWS * D),
          pieces(shared + LAYER_ROWS * (2 * D + SLICE)),
          turn(0) {}

    // With each slice all places move on by one, so that the next W1's first half is where it has to be, and its other
    // three come to places that are free by then: two of this W2's, and one of the W1's before.
    enum Place { W1_FIRST = 0, NEXT_W1_FIRST = 1, W1_SECOND = 2, W2_FIRST = 3, NEXT_W1_SECOND = 3, W2_SECOND = 4,
                 NEXT_W2_FIRST = 4 };

    __device__ __forceinline__ bf16* piece(int place) const {
        int at = turn + place;
        return pieces + (at < 5 ? at : at - 5) * PIECE;
    }

    // This block's sums.
    __device__ __forceinline__ float* sums() const {
        return written.sums + block_index_again() * (3LL * D + weights.hidden);
    }

    __device__ __forceinline__ void begin(const bf16* x, const float* mean, const float* rstd, const bf16* d) {
        BlockRows here(rows);
        long long at = here.first * D;
        fetch_tile<D, LAYER_ROWS>(d_out, d + at, D, here.valid);
        cp_async_commit();
        load_w1(W1_FIRST, 0, 0);
        load_w1(W1_SECOND, 0, 1);
        load_w2(W2_FIRST, 0, 0);
        normalize_again<D>(normed, written.normed + at, x + at, weights.norm, weights.norm_bias, mean + here.first,
                           rstd + here.first, here.valid);
        clear(d_normed);
        cp_async_wait<3>();
        __syncthreads();
        write_tile<D>(written.d_out + at, d_out, here.valid);
        sum_all_columns<D>(d_out, sums() + 2 * D);
    }

    __device__ __forceinline__ void finish(const float* mean, const float* rstd, bf16* d) {
        cp_async_wait<0>();
        __syncthreads();  // x is there, the weights are done with
        BlockRows here(rows);
        norm_backward<D>(d_normed, normed, d_out, weights.norm, mean + here.first, rstd + here.first, here.valid,
                         sums(), sums() + D, reinterpret_cast<float*>(pieces));
        __syncthreads();
        write_tile<D>(d + here.first * D, d_out, here.valid);
    }

    __device__ __forceinline__ void load_w1(int place, int slice, int which) {
        if (slice * SLICE < weights.hidden) {
            const bf16* from = weights.expand + static_cast<long long>(slice) * SLICE * D + which * HALF;
            fetch_tile<HALF, SLICE>(piece(place), from, D, SLICE);
        }
        cp_async_commit();
    }

    __device__ __forceinline__ void load_w2(int place, int slice, int which) {
        if (slice * SLICE < weights.hidden) {
            const bf16* from = weights.contract + static_cast<long long>(which) * HALF * weights.hidden + slice * SLICE;
            fetch_tile<SLICE, HALF>(piece(place), from, weights.hidden, HALF);
        }
        cp_async_commit();
    }

    // Row r of the part's hidden columns, to global memory.
    __device__ __forceinline__ void store_hidden(bf16* to, int slice, int r, unsigned (&words)[4]) const {
        Part part;
        BlockRows here(rows);
        to += (here.first + part.lane_row(r)) * weights.hidden + slice * SLICE + part.side * HIDDEN_COLUMNS;
        store_quad(to, words, part.lane, part.lane_row(r) < here.valid);
    }

    __device__ __forceinline__ void expand(int slice) {
        cp_async_wait<1>();  // all but the first half of W2
        __syncthreads();     // W1 of the slice before is done with
        load_w2(W2_SECOND, slice, 1);
        load_w1(NEXT_W1_FIRST, slice + 1, 0);
        Part part;
        Operands<D> wide(part.lane);
        Operands<HALF> half(part.lane);
        begin_with_bias(hidden, weights.expand_bias + slice * SLICE + part.side * HIDDEN_COLUMNS, part);
#pragma unroll
        for (int which = 0; which < 2; which++) {
            const bf16* half_of_w1 = piece(which == 0 ? W1_FIRST : W1_SECOND);
#pragma unroll 4
            for (int k = 0; k < HALF / 16; k++) {
                unsigned left[2][4];
                part.left(wide, left, normed, which * (HALF / 16) + k);
#pragma unroll
                for (int n = 0; n < HIDDEN_N / 2; n++) {
                    unsigned right[2][2];
                    half.columns(right, half_of_w1, part.side * HIDDEN_COLUMNS + 16 * n, k);
                    multiply(hidden, n, left, right);
                }
            }
        }
    }

    // Of two neighbours, what is in their place from now on: GELU of both, and both derivatives, rounded to bf16.
    __device__ __forceinline__ void activate(int index) {
        float* x = &hidden[index / HIDDEN_N / 2][index % HIDDEN_N][2 * (index / HIDDEN_N % 2)];
        float activated[2];
        float derivative[2];
#pragma unroll
        for (int e = 0; e < 2; e++) {
            Normal value = normal(x[e]);
            activated[e] = x[e] * value.distribution;
            derivative[e] = gelu_derivative(x[e], value);
        }
        x[0] = __uint_as_float(pack_bf16(activated[0], activated[1]));
        x[1] = __uint_as_float(pack_bf16(derivative[0], derivative[1]));
    }

    __device__ __forceinline__ void through_contract() {
        cp_async_wait<1>();  // all but the next W1's first half
        __syncthreads();
        Part part;
        Operands<D> wide(part.lane);
        Operands<SLICE> narrow(part.lane);
        clear(d_activated);
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            unsigned left[2][4];
            part.left(wide, left, d_out, k);
#pragma unroll
            for (int n = 0; n < HIDDEN_N / 2; n++) {
                unsigned right[2][2];
                narrow.transposed(right, piece(k < HALF / 16 ? W2_FIRST : W2_SECOND), 16 * (k % (HALF / 16)),
                                  part.side * (HIDDEN_N / 2) + n);
                multiply(d_activated, n, left, right);
                int group = k * (HIDDEN_N / 2) + n;
#pragma unroll
                for (int i = pairs_before(group, GROUPS); i < pairs_before(group + 1, GROUPS); i++) activate(i);
            }
        }
    }

    // The gradient of the hidden columns, to its tile and to global memory, and on to LayerNorm's output. After the
    // last slice x takes the place of the normalised rows.
    __device__ __forceinline__ void through_expand(int slice, const bf16* x) {
        Part part;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            unsigned activated[4];
            unsigned d_words[4];
#pragma unroll
            for (int n = 0; n < HIDDEN_N; n++) {
                const float* d = &d_activated[r / 2][n][2 * (r % 2)];
                const float* both = &hidden[r / 2][n][2 * (r % 2)];
                unsigned derivatives = __float_as_uint(both[1]);
                activated[n] = __float_as_uint(both[0]);
                d_words[n] = pack_bf16(d[0] * low_bf16(derivatives), d[1] * high_bf16(derivatives));
                part.in_tile<SLICE>(d_hidden, r, part.side * HIDDEN_N + n) = d_words[n];
            }
            store_hidden(written.activated, slice, r, activated);
            store_hidden(written.d_hidden, slice, r, d_words);
        }
        __syncthreads();  // the tile is whole, and W2 is done with
        load_w1(NEXT_W1_SECOND, slice + 1, 1);
        load_w2(NEXT_W2_FIRST, slice + 1, 0);
        if ((slice + 1) * SLICE == weights.hidden) {
            BlockRows here(rows);
            fetch_tile<D, LAYER_ROWS>(normed, x + here.first * D, D, here.valid);
            cp_async_commit();
        }
        const bf16* columns = piece(part.side == 0 ? W1_FIRST : W1_SECOND);
        Operands<SLICE> narrow(part.lane);
        Operands<HALF> half(part.lane);
#pragma unroll
        for (int k = 0; k < SLICE / 16; k++) {
            unsigned left[2][4];
            part.left(narrow, left, d_hidden, k);
#pragma unroll
            for (int n = 0; n < N / 2; n++) {
                unsigned right[2][2];
                half.transposed(right, columns, 16 * k, n);
                multiply(d_normed, n, left, right);
            }
        }
        sum_all_columns<SLICE>(d_hidden, sums() + 3 * D + slice * SLICE);
        turn = turn == 4 ? 0 : turn + 1;
    }
};

template <int D>
__device__ __forceinline__ void backward(const Weights& weights, const bf16* x, const float* mean, const float* rstd,
                                         bf16* d, const Written& written, long long rows) {
    DYNAMIC_SHARED(bf16, shared);
    Backward<D> block(weights, written, rows, shared);
    block.begin(x, mean, rstd, d);
#pragma unroll 1
    for (int slice = 0; slice * SLICE < weights.hidden; slice++) {
        block.expand(slice);
        block.through_contract();
        block.through_expand(slice, x);
    }
    block.finish(mean, rstd, d);
}

// Adds the blocks' sums to the gradients of the vectors, in the order of the blocks: a warp of rows per 32 columns.
__device__ __forceinline__ void add_sums(const float* sums, long long blocks, int dim, int hidden, float* d_norm,
                                         float* d_norm_bias, float* d_contract_bias, float* d_expand_bias) {
    SHARED float of_group[SUM_GROUPS][SUM_COLUMNS + 1];
    int columns = 3 * dim + hidden;
    int column = static_cast<int>(blockIdx.x) * SUM_COLUMNS + lane_index();
    float sum = sum_of_column(sums, blocks, columns, column, columns, of_group);
    if (warp_index() != 0 || column >= columns) return;
    float* to = column < dim       ? d_norm + column
                : column < 2 * dim ? d_norm_bias + column - dim
                : column < 3 * dim ? d_contract_bias + column - 2 * dim
                                   : d_expand_bias + column - 3 * dim;
    *to += sum;
}

}  // namespace feed_forward
