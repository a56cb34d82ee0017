// Shuffles and votes. A lane that is not there, or not in the mask, gives bits that are all 1 (a NaN): the hardware
// leaves them undefined.

#pragma once

#include <cstring>

namespace emulation {

struct ShuffleLane {
    unsigned long long value;
    int operand;
    int width;
    unsigned long long result;
};

enum class Shuffle { INDEX, UP, DOWN, XOR };

// PTX ISA, shfl.sync: a source outside the lane's segment of `width` lanes is the lane itself.
inline int shuffle_source(Shuffle kind, int lane, int operand, int width) {
    int first = lane & ~(width - 1);
    int last = first + width - 1;
    switch (kind) {
        case Shuffle::INDEX: return first | (operand & (width - 1));
        case Shuffle::UP: return lane - operand < first ? lane : lane - operand;
        case Shuffle::DOWN: return lane + operand > last ? lane : lane + operand;
        default: return (lane ^ operand) > last ? lane : lane ^ operand;
    }
}

template <Shuffle KIND>
void combine_shuffle(void* const* payloads, unsigned lanes) {
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        int lane = __builtin_ctz(left);
        ShuffleLane& to = *static_cast<ShuffleLane*>(payloads[lane]);
        int source = shuffle_source(KIND, lane, to.operand, to.width) & 31;
        bool there = lanes >> source & 1u;
        to.result = there ? static_cast<const ShuffleLane*>(payloads[source])->value : ~0ull;
    }
}

template <Shuffle KIND>
inline constexpr Operation SHUFFLE = {KIND == Shuffle::INDEX  ? "__shfl_sync"
                                      : KIND == Shuffle::UP   ? "__shfl_up_sync"
                                      : KIND == Shuffle::DOWN ? "__shfl_down_sync"
                                                              : "__shfl_xor_sync",
                                      false, combine_shuffle<KIND>};

template <Shuffle KIND, class T>
T shuffle(unsigned mask, T value, int operand, int width, int line, const char* file) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
    ShuffleLane lane = {0, operand, width, 0};
    std::memcpy(&lane.value, &value, sizeof(T));
    collective(mask, SHUFFLE<KIND>, &lane, line, file);
    std::memcpy(&value, &lane.result, sizeof(T));
    return value;
}

struct VoteLane {
    bool predicate;
    unsigned result;
};

inline void combine_vote(void* const* payloads, unsigned lanes) {
    unsigned votes = 0;
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        int lane = __builtin_ctz(left);
        votes |= static_cast<unsigned>(static_cast<const VoteLane*>(payloads[lane])->predicate) << lane;
    }
    for (unsigned left = lanes; left != 0; left &= left - 1) {
        static_cast<VoteLane*>(payloads[__builtin_ctz(left)])->result = votes;
    }
}

// __all is "nobody votes against", so that lanes that have exited need no special case.
inline constexpr Operation BALLOT = {"__ballot_sync", false, combine_vote};
inline constexpr Operation ANY = {"__any_sync", false, combine_vote};
inline constexpr Operation ALL = {"__all_sync", false, combine_vote};

inline unsigned vote(unsigned mask, const Operation& operation, bool predicate, int line, const char* file) {
    VoteLane lane = {predicate, 0};
    collective(mask, operation, &lane, line, file);
    return lane.result;
}

inline void combine_nothing(void* const*, unsigned) {}
inline constexpr Operation SYNCWARP = {"__syncwarp", false, combine_nothing};

}  // namespace emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATION_PLACE) {
    return emulation::shuffle<emulation::Shuffle::INDEX>(mask, value, source, width, line, file);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_PLACE) {
    return emulation::shuffle<emulation::Shuffle::UP>(mask, value, static_cast<int>(delta), width, line, file);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_PLACE) {
    return emulation::shuffle<emulation::Shuffle::DOWN>(mask, value, static_cast<int>(delta), width, line, file);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int distance, int width = 32, EMULATION_PLACE) {
    return emulation::shuffle<emulation::Shuffle::XOR>(mask, value, distance, width, line, file);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATION_PLACE) {
    return emulation::vote(mask, emulation::BALLOT, predicate != 0, line, file);
}

inline int __any_sync(unsigned mask, int predicate, EMULATION_PLACE) {
    return emulation::vote(mask, emulation::ANY, predicate != 0, line, file) != 0;
}

inline int __all_sync(unsigned mask, int predicate, EMULATION_PLACE) {
    return emulation::vote(mask, emulation::ALL, predicate == 0, line, file) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATION_PLACE) {
    emulation::collective(mask, emulation::SYNCWARP, nullptr, line, file);
}
