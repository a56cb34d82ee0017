// In which order threads and blocks run: each as far as it gets, in the order of its index, or at random.

#pragma once

#include <cstdint>

namespace emulation {

// MEGABYTE4J_SIMULATOR_SCHEDULE: empty or "ordered", or "random:<seed>".
struct Schedule {
    bool random = false;
    uint64_t seed = 0;

    static Schedule configured();
};

// SplitMix64 (Steele et al. 2014): one addition and a hash per number.
class Random {
public:
    explicit Random(uint64_t seed) : state(seed) {}

    uint64_t next() {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }

private:
    uint64_t state;
};

}  // namespace emulation
