// The blocks of a cluster. Each has an operating-system thread of its own, so that its fixed-size shared memory is its
// own too, and they take turns: one runs until it has ended or all its threads wait for the cluster.

#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "block_runner.h"
#include "schedule.h"

namespace emulation {

constexpr unsigned MOST_BLOCKS_OF_CLUSTER = 16;

class Cluster {
public:
    Cluster(unsigned size, const Schedule& schedule, uint64_t number);

    unsigned size() const { return static_cast<unsigned>(members.size()); }

    // Of the block `rank`, on its own thread: waits for its first turn. False if another one has failed.
    bool enter(unsigned rank, char* dynamic_shared);

    // Waits until every block that has not ended has come here. False if another one has failed.
    bool wait(unsigned rank);

    void leave(unsigned rank, const Outcome& outcome);

    // Where another block's dynamic shared memory begins; null if it has not begun, or has ended.
    char* shared_of(unsigned rank) const;

    // Of the first block that failed.
    const Outcome& outcome() const { return first; }

private:
    enum class State { READY, WAITING, ENDED };

    struct Member {
        State state = State::READY;
        char* shared = nullptr;
    };

    bool wait_for_turn(std::unique_lock<std::mutex>& held, unsigned rank);
    void pass_on();

    std::mutex lock;
    std::condition_variable changed;
    std::vector<Member> members;
    unsigned turn;
    bool failed = false;
    Outcome first;
    bool random_order;
    Random random;
};

// Runs the blocks of a cluster, whose ranks `body` gets, to their ends: 0 on the calling thread.
void run_members(unsigned size, void (*body)(void* context, unsigned rank), void* context);

}  // namespace emulation
