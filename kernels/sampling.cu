// The choice of the next id of each sequence, for generation: repetition penalty, temperature, top-k, top-p, a draw.
//
// logits [B, V] float32   settings: temperature, top_p, penalty (double), seed (64 bits), top_k   allowed [V]
// sequences, positions, forced [B]   seen [B, ceil(V / 32)] bits   ->   chosen, faults [B]
// Backend.Sampler (Java) is the specification, and its ids are met one by one: what is added up in double precision is
// added up one after the other, and the exponential is made of the same additions and multiplications. Hence a seed
// gives the same text on every device.
// Launch: grid B, block 256, dynamic shared memory 8 next_power_of_two(V) + 12 V bytes: keys, weights, logits.
// Bytes:  8 V per sequence. What it takes is latency: 2 V additions in a row, and a bitonic sort of log2(V)^2 / 2
//         steps where top-k or top-p ask for an order; for V = 512 a few microseconds, while the layers take a hundred.
// Numerics: logits float32, scaled in double; probabilities double; equal logits are ordered by id.
// Source: Philox4x32-10, Salmon et al. 2011 (doi 10.1145/2063384.2063405); top-p, Holtzman et al. 2020
//         (arXiv 1904.09751); bitonic sort, Batcher 1968.

#include "common/platform.cuh"
#include "common/sampling.cuh"

constexpr int THREADS = 256;

extern "C" __global__ void __launch_bounds__(THREADS)
sample_f32(const float* logits, const int* settings, const int* allowed, const int* sequences, const int* positions,
           const int* forced, int* seen, int* chosen, int* faults, int vocabulary, int sorted) {
    DYNAMIC_SHARED(unsigned long long, scratch);
    const int row = static_cast<int>(blockIdx.x);
    int id = forced[row];
    int fault = 0;
    if (id < 0) {
        id = choose<THREADS>(logits + static_cast<long long>(row) * vocabulary, settings, allowed, sequences[row],
                             positions[row], seen + static_cast<long long>(row) * ((vocabulary + 31) / 32), &fault,
                             scratch, vocabulary, sorted);
    }
    if (threadIdx.x == 0) {
        chosen[row] = id;
        faults[row] = fault;
    }
}
REGISTER_KERNEL(sample_f32);
