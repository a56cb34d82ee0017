#include "cluster.h"

#include <thread>

namespace emulation {

Cluster::Cluster(unsigned size, const Schedule& schedule, uint64_t number)
    : members(size), turn(0), random_order(schedule.random), random(schedule.seed ^ number * 0xd1342543de82ef95u) {
    if (random_order) turn = static_cast<unsigned>(random.next() % size);
}

bool Cluster::enter(unsigned rank, char* dynamic_shared) {
    std::unique_lock<std::mutex> held(lock);
    if (!wait_for_turn(held, rank)) return false;
    members[rank].shared = dynamic_shared;
    return true;
}

bool Cluster::wait(unsigned rank) {
    std::unique_lock<std::mutex> held(lock);
    members[rank].state = State::WAITING;
    pass_on();
    return wait_for_turn(held, rank);
}

void Cluster::leave(unsigned rank, const Outcome& outcome) {
    std::lock_guard<std::mutex> held(lock);
    members[rank] = {State::ENDED, nullptr};
    if (outcome.code != 0 && !failed) {
        first = outcome;
        failed = true;
    }
    pass_on();
}

char* Cluster::shared_of(unsigned rank) const { return rank < members.size() ? members[rank].shared : nullptr; }

bool Cluster::wait_for_turn(std::unique_lock<std::mutex>& held, unsigned rank) {
    changed.wait(held, [&] { return failed || (turn == rank && members[rank].state == State::READY); });
    return !failed;
}

// Gives the turn to a block that can go on. If none can, all that are left wait, and so nobody waits any more.
void Cluster::pass_on() {
    std::vector<unsigned> ready;
    for (int attempt = 0; attempt < 2 && ready.empty(); attempt++) {
        for (unsigned i = 0; i < members.size(); i++) {
            if (attempt == 1 && members[i].state == State::WAITING) members[i].state = State::READY;
            if (members[i].state == State::READY) ready.push_back(i);
        }
    }
    if (!ready.empty()) turn = ready[random_order ? random.next() % ready.size() : 0];
    changed.notify_all();
}

namespace {

// Threads of the blocks with ranks from 1 on; they live as long as the process.
class Members {
public:
    void run(unsigned size, void (*of_rank)(void*, unsigned), void* with) {
        std::unique_lock<std::mutex> guard(lock);
        while (made < size - 1) {
            std::thread(&Members::serve, this, ++made, round).detach();
        }
        body = of_rank;
        context = with;
        wanted = size;
        busy = size - 1;
        round++;
        guard.unlock();
        begun.notify_all();
        of_rank(with, 0);
        guard.lock();
        ended.wait(guard, [&] { return busy == 0; });
    }

private:
    void serve(unsigned rank, long done) {
        std::unique_lock<std::mutex> guard(lock);
        for (;;) {
            begun.wait(guard, [&] { return round != done; });
            done = round;
            if (rank >= wanted) continue;
            auto of_rank = body;
            void* with = context;
            guard.unlock();
            of_rank(with, rank);
            guard.lock();
            if (--busy == 0) ended.notify_all();
        }
    }

    std::mutex lock;
    std::condition_variable begun;
    std::condition_variable ended;
    void (*body)(void*, unsigned) = nullptr;
    void* context = nullptr;
    unsigned made = 0;
    unsigned wanted = 0;
    unsigned busy = 0;
    long round = 0;
};

}  // namespace

// Kept when they are done: a thread with stacks for all of a block's threads is dear.
void run_members(unsigned size, void (*body)(void* context, unsigned rank), void* context) {
    static std::mutex lock;
    static auto* idle = new std::vector<Members*>();
    Members* members = nullptr;
    {
        std::lock_guard<std::mutex> guard(lock);
        if (!idle->empty()) {
            members = idle->back();
            idle->pop_back();
        }
    }
    if (members == nullptr) members = new Members();
    members->run(size, body, context);
    std::lock_guard<std::mutex> guard(lock);
    idle->push_back(members);
}

}  // namespace emulation
