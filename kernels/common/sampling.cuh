// The choice of an id from a row of logits by a block: sampling.cu, and the local model's decoding, which chooses
// between two bytes. Backend.Sampler (Java) is the specification; sampling.cu says more.
//
//   choose<THREADS>(...)    all threads of a one-dimensional block of THREADS call it, and get the same id
//
// Scratch in shared memory: 8 sorted + 12 V bytes, 8-byte aligned; `sorted` is a power of two and at least V.

#pragma once

#include "platform.cuh"
#include "reduce.cuh"

constexpr int NOTHING_TO_CHOOSE = -2147483647 - 1;   // Ops.NOTHING_TO_CHOOSE
constexpr double SMALLEST_EXPONENT = -707;

__device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }

__device__ __forceinline__ unsigned long long word64(const int* words) {
    return static_cast<unsigned>(words[0]) | static_cast<unsigned long long>(static_cast<unsigned>(words[1])) << 32;
}

__device__ __forceinline__ double double64(const int* words) {
    return __longlong_as_double(static_cast<long long>(word64(words)));
}

// e^x for x <= 0: Sampler.exponential. No product may melt into a sum: Java's does not.
__device__ inline double exponential(double x) {
    if (x < SMALLEST_EXPONENT) return 0;
    const double coefficients[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                   1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0,
                                   1.0 / 6.0, 1.0 / 2.0, 1.0, 1.0};
    double k = rint(__dmul_rn(x, 0x1.71547652b82fep0));
    double r = __dadd_rn(__dadd_rn(x, -__dmul_rn(k, 0x1.62e42fefp-1)), -__dmul_rn(k, 0x1.473de6af278edp-34));
    double sum = coefficients[0];
#pragma unroll
    for (int n = 1; n < 14; n++) sum = __dadd_rn(__dmul_rn(sum, r), coefficients[n]);
    return __dmul_rn(sum, __longlong_as_double((static_cast<long long>(k) + 1023) << 52));
}

// The larger the logit, the larger the key; of equal logits the lower id has the larger key.
__device__ __forceinline__ unsigned long long rank_key(float logit, int id) {
    unsigned bits = __float_as_uint(logit + 0.0f);   // + 0 makes -0 equal to 0
    unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<unsigned long long>(ordered) << 32 | (0x7fffffffu - static_cast<unsigned>(id));
}

__device__ __forceinline__ int id_of(unsigned long long key) {
    return static_cast<int>(0x7fffffffu - static_cast<unsigned>(key));
}

// A uniform number in [0, 1) with 53 random bits: Philox.uniform.
__device__ inline double philox_uniform(unsigned long long seed, int sequence, int position) {
    unsigned k0 = static_cast<unsigned>(seed), k1 = static_cast<unsigned>(seed >> 32);
    // Both are 64 bits wide there, and not negative.
    unsigned c0 = static_cast<unsigned>(position), c1 = 0, c2 = static_cast<unsigned>(sequence), c3 = 0;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    unsigned long long bits = (static_cast<unsigned long long>(c0) << 32 | c1) >> 11;
    return static_cast<double>(bits) * 0x1.0p-53;
}

// Largest first. `count` is a power of two; all threads of the block call it.
template <int THREADS>
__device__ void sort_descending(unsigned long long* keys, int count) {
    for (int size = 2; size <= count; size *= 2) {
        for (int distance = size / 2; distance > 0; distance /= 2) {
            __syncthreads();
            for (int pair = static_cast<int>(threadIdx.x); pair < count / 2; pair += THREADS) {
                int low = 2 * pair - (pair & (distance - 1));
                int high = low + distance;
                unsigned long long a = keys[low], b = keys[high];
                bool descending = (low & size) == 0;
                if ((a < b) == descending) {
                    keys[low] = b;
                    keys[high] = a;
                }
            }
        }
    }
    __syncthreads();
}

// Replaces values by their running sums, added one after the other by the first thread; gives the total to all.
__device__ inline double running_sums(double* values, int count, double* total) {
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0;
        int i = 0;
        for (; i + 8 <= count; i += 8) {
            double next[8];
#pragma unroll
            for (int k = 0; k < 8; k++) next[k] = values[i + k];   // loads that do not wait for the additions
#pragma unroll
            for (int k = 0; k < 8; k++) {
                sum += next[k];
                next[k] = sum;
            }
#pragma unroll
            for (int k = 0; k < 8; k++) values[i + k] = next[k];
        }
        for (; i < count; i++) {
            sum += values[i];
            values[i] = sum;
        }
        *total = sum;
    }
    __syncthreads();
    return *total;
}

// How many of the first `candidates` sorted ids hold the probability top_p: those with less than it before them.
template <int THREADS>
__device__ int nucleus(const unsigned long long* keys, const float* logits, double* weights, int candidates,
                       double top_p, double* shared_total) {
    for (int i = static_cast<int>(threadIdx.x); i < candidates; i += THREADS) {
        weights[i] = exponential(logits[id_of(keys[i])]);
    }
    double wanted = __dmul_rn(top_p, running_sums(weights, candidates, shared_total));
    int kept = 0;
    for (int i = static_cast<int>(threadIdx.x); i < candidates; i += THREADS) {
        kept += (i == 0 ? 0.0 : weights[i - 1]) < wanted ? 1 : 0;
    }
    return block_sum<THREADS>(kept);
}

// The id; 0 where `fault` is not 0. A chosen id is added to `seen`.
template <int THREADS>
__device__ __forceinline__ int choose(const float* logits, const int* settings, const int* allowed, int sequence,
                                      int position, int* seen, int* fault, unsigned long long* scratch, int vocabulary,
                                      int sorted) {
    SHARED double shared_total[1];
    unsigned long long* keys = scratch;                                       // [sorted]
    double* weights = reinterpret_cast<double*>(keys + sorted);               // [V]
    float* adjusted = reinterpret_cast<float*>(weights + vocabulary);         // [V]
    const int thread = static_cast<int>(threadIdx.x);
    const double temperature = double64(settings);
    const double top_p = double64(settings + 2);
    const double penalty = double64(settings + 4);
    const unsigned long long seed = word64(settings + 6);
    const int top_k = settings[8];

    int unusable = 0;                   // V - id of the first id without a usable logit
    unsigned long long best = 0;
    for (int i = thread; i < vocabulary; i += THREADS) {
        float logit = logits[i];
        unsigned bits = __float_as_uint(logit);
        if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) {
            unusable = max(unusable, vocabulary - i);
        } else if (allowed[i] == 0) {
            logit = minus_infinity();
        } else if (penalty != 1 && (static_cast<unsigned>(seen[i / 32]) >> (i % 32) & 1u) != 0) {
            logit = static_cast<float>(logit > 0 ? logit / penalty : __dmul_rn(logit, penalty));
        }
        adjusted[i] = logit;
        best = max(best, rank_key(logit, i));
    }
    unusable = block_max<THREADS>(unusable);
    best = block_max<THREADS>(best);
    const int likeliest = id_of(best);
    __syncthreads();
    const int bad = vocabulary - unusable;
    const float largest = adjusted[unusable > 0 ? bad : likeliest];
    *fault = 0;
    if (unusable > 0 || largest == minus_infinity()) {
        *fault = unusable == 0 ? NOTHING_TO_CHOOSE : largest > 0 ? -(bad + 1) : bad + 1;
        return 0;
    }

    int id = likeliest;
    if (temperature != 0) {
        __syncthreads();   // all have read the largest
        for (int i = thread; i < vocabulary; i += THREADS) {
            adjusted[i] = static_cast<float>(static_cast<double>(adjusted[i] - largest) / temperature);
        }
        if ((top_k > 0 && top_k < vocabulary) || top_p < 1) {
            for (int i = thread; i < sorted; i += THREADS) {
                keys[i] = i < vocabulary ? rank_key(adjusted[i], i) : 0;   // each thread reads what it wrote
            }
            sort_descending<THREADS>(keys, sorted);
            int kept = top_k > 0 ? min(top_k, vocabulary) : vocabulary;
            if (top_p < 1) kept = nucleus<THREADS>(keys, adjusted, weights, kept, top_p, shared_total);
            const unsigned long long last = keys[kept - 1];
            __syncthreads();   // the weights have been read
            for (int i = thread; i < vocabulary; i += THREADS) {
                if (rank_key(adjusted[i], i) < last) adjusted[i] = minus_infinity();
            }
        }
        for (int i = thread; i < vocabulary; i += THREADS) weights[i] = exponential(adjusted[i]);
        const double total = running_sums(weights, vocabulary, shared_total);
        const double target = __dmul_rn(philox_uniform(seed, sequence, position), total);
        int first = 0;      // V - id of the first whose running sum exceeds the target
        int possible = -1;  // the last with any weight, should rounding let none exceed it
        for (int i = thread; i < vocabulary; i += THREADS) {
            if (target < weights[i]) first = max(first, vocabulary - i);
            if (adjusted[i] >= SMALLEST_EXPONENT) possible = max(possible, i);
        }
        first = block_max<THREADS>(first);
        possible = block_max<THREADS>(possible);
        id = first > 0 ? vocabulary - first : possible;
    }
    if (thread == 0) seen[id / 32] |= static_cast<int>(1u << (id % 32));
    return id;
}
