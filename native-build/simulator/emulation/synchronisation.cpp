// Barriers, warp operations and asynchronous copies of a block's threads.

#include <cstring>
#include <map>

#include "block_runner.h"
#include "cluster.h"
#include "thread_state.h"

namespace emulation {
namespace {

Fiber& self() { return *static_cast<Fiber*>(current); }

std::string hexadecimal(unsigned bits) {
    char text[16];
    snprintf(text, sizeof text, "0x%08x", bits);
    return text;
}

}  // namespace

std::string text(uint3 index) {
    return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

bool Place::same_file(const Place& other) const { return file == other.file || std::strcmp(file, other.file) == 0; }

std::string Place::text() const {
    const char* name = std::strrchr(file, '/');
    return std::string(what) + " (" + (name == nullptr ? file : name + 1) + ":" + std::to_string(line) + ")";
}

void collective(unsigned mask, const Operation& operation, void* payload, int line, const char* file) {
    runner_of_thread->collective(self(), mask, operation, payload, line, file);
}

void BlockRunner::collective(Fiber& self, unsigned mask, const Operation& operation, void* payload, int line,
                             const char* file) {
    Warp& warp = *self.warp;
    unsigned bit = 1u << self.lane;
    Place place = {operation.name, file, line};
    if ((mask & bit) == 0) {
        fail(LAUNCH_FAILED, "thread " + text(self.index) + " is not in the mask " + hexadecimal(mask) + " of its " +
                                    place.text());
    }
    if (operation.whole_warp && warp.live != ~0u) {
        fail(LAUNCH_FAILED, place.text() + " needs 32 lanes, but thread " + text(self.index) + " is in a warp of " +
                                    hexadecimal(warp.live));
    }
    int which = 0;
    while (which < warp.gatherings && warp.gathering[which].mask != mask) which++;
    Gathering& g = warp.gathering[which];
    if (which == warp.gatherings) {
        g = {mask, 0, &operation, line, file};
        warp.gatherings++;
    } else if (g.operation != &operation || g.line != line || !place.same_file({nullptr, g.file, 0})) {
        fail(LAUNCH_FAILED, "thread " + text(self.index) + " has come to " + place.text() +
                                    ", but other lanes of its warp to " +
                                    Place{g.operation->name, g.file, g.line}.text());
    }
    warp.payload[self.lane] = payload;
    g.arrived |= bit;
    if (g.arrived == (mask & warp.live)) {
        complete(warp, which);
        go_on(self);
    } else {
        wait(self, place, mask);
    }
}

void BlockRunner::complete(Warp& warp, int which) {
    Gathering g = warp.gathering[which];
    warp.gathering[which] = warp.gathering[--warp.gatherings];
    g.operation->combine(warp.payload, g.arrived);
    make_ready(warp, g.arrived);
}

int barrier(bool predicate, int line, const char* file) {
    return runner_of_thread->barrier(self(), predicate, line, file);
}

int BlockRunner::barrier(Fiber& self, bool predicate, int line, const char* file) {
    Place place = {"__syncthreads", file, line};
    if (at_barrier == 0) {
        barrier_place = place;
    } else if (!(barrier_place == place)) {
        fail(LAUNCH_FAILED, "thread " + text(self.index) + " has come to " + place.text() + ", but others to " +
                                    barrier_place.text());
    }
    self.warp->at_barrier |= 1u << self.lane;
    at_barrier++;
    barrier_votes += predicate;
    if (at_barrier == live) {
        release_barrier();
        go_on(self);
    } else {
        wait(self, place, 0);
    }
    return barrier_result;
}

void BlockRunner::release_barrier() {
    int count = (threads + LANES - 1) / LANES;
    for (int i = 0; i < count; i++) {
        make_ready(warps[i], warps[i].at_barrier);
        warps[i].at_barrier = 0;
    }
    at_barrier = 0;
    barrier_result = barrier_votes;
    barrier_votes = 0;
}

void cluster_arrive(int line, const char* file) { runner_of_thread->cluster_arrive(self(), line, file); }

void BlockRunner::cluster_arrive(Fiber& self, int line, const char* file) {
    if (self.arrived) {
        fail(LAUNCH_FAILED, "thread " + text(self.index) + " has come to " +
                                    Place{"cluster_arrive", file, line}.text() + " again before it has waited");
    }
    self.arrived = true;
}

void cluster_wait(int line, const char* file) { runner_of_thread->cluster_wait(self(), line, file); }

void BlockRunner::cluster_wait(Fiber& self, int line, const char* file) {
    Place place = {"cluster_wait", file, line};
    if (!self.arrived) fail(LAUNCH_FAILED, "thread " + text(self.index) + " waits at " + place.text() + " without arriving");
    self.arrived = false;
    self.warp->at_cluster |= 1u << self.lane;
    at_cluster++;
    if (at_cluster == live) {
        pass_cluster_barrier();
        go_on(self);
    } else {
        wait(self, place, 0);
    }
}

// All threads of the block wait: it is the other blocks' turn.
void BlockRunner::pass_cluster_barrier() {
    if (cluster != nullptr && !cluster->wait(block.cluster_rank)) leave();    // another block says why
    int count = (threads + LANES - 1) / LANES;
    for (int i = 0; i < count; i++) {
        make_ready(warps[i], warps[i].at_cluster);
        warps[i].at_cluster = 0;
    }
    at_cluster = 0;
}

void* in_cluster(const void* shared, size_t bytes, unsigned rank, const char* what) {
    return runner_of_thread->in_cluster(self(), shared, bytes, rank, what);
}

void* BlockRunner::in_cluster(Fiber& self, const void* shared, size_t bytes, unsigned rank, const char* what) {
    auto* at = static_cast<const char*>(shared);
    auto* own = static_cast<char*>(block.dynamic_shared);
    std::string who = "thread " + text(self.index) + ": " + what + " ";
    if (at < own || at + bytes > own + dynamic_size) {
        fail(ILLEGAL_ADDRESS, who + "of an address that is not in dynamic shared memory");
    }
    if (rank >= block.cluster_size) {
        fail(ILLEGAL_ADDRESS, who + "to block " + std::to_string(rank) + " of a cluster of " +
                                      std::to_string(block.cluster_size));
    }
    char* other = cluster == nullptr ? own : cluster->shared_of(rank);
    if (other == nullptr) {
        fail(ILLEGAL_ADDRESS, who + "to block " + std::to_string(rank) + " of the cluster, which has not begun or has "
                                    "ended: a barrier of the cluster must stand between");
    }
    return other + (at - own);
}

// Nobody can go on: says who waits where.
void BlockRunner::deadlock() {
    struct Waiting {
        int count = 0;
        std::string who;
        unsigned lanes = 0;
        unsigned mask = 0;
    };
    std::map<std::string, Waiting> places;
    for (int i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        if ((fiber.warp->live >> fiber.lane & 1) == 0) continue;
        std::string place = fiber.waits.text();
        if (fiber.waits_mask != 0) place += " of warp " + std::to_string(i / LANES);
        Waiting& waiting = places[place];
        if (waiting.count++ < 4) waiting.who += (waiting.count == 1 ? "" : ", ") + text(fiber.index);
        waiting.lanes |= 1u << fiber.lane;
        waiting.mask = fiber.waits_mask;
    }
    std::string message = "no thread can go on";
    for (const auto& [place, waiting] : places) {
        message += "; " + std::to_string(waiting.count) + " wait at " + place + ": " + waiting.who;
        if (waiting.count > 4) message += ", ...";
        if (waiting.mask != 0) message += ", for lanes " + hexadecimal(waiting.mask & ~waiting.lanes);
    }
    int exited = threads - live;
    if (exited > 0) message += "; " + std::to_string(exited) + " have exited";
    fail(LAUNCH_FAILED, message);
}

void trap(const char* what, int line, const char* file) {
    runner_of_thread->fail(ASSERT, "thread " + text(self().index) + ": " + Place{what, file, line}.text());
}

void misaligned(const void* address, size_t alignment, const char* what) {
    char message[128];
    snprintf(message, sizeof message, "thread %s: %s of address %p, not a multiple of %zu",
             text(self().index).c_str(), what, address, alignment);
    runner_of_thread->fail(MISALIGNED_ADDRESS, message);
}

bool BlockRunner::is_shared(const void* address, size_t bytes) const {
    auto* at = static_cast<const char*>(address);
    auto* dynamic = static_cast<const char*>(block.dynamic_shared);
    bool in_dynamic = at >= dynamic && at + bytes <= dynamic_region + dynamic_capacity;
    bool in_static = static_shared_size == 0 ||
                     (at >= static_shared && at + bytes <= static_shared + static_shared_size);
    return in_dynamic || in_static;
}

void check_shared(const void* address, size_t bytes, const char* what) {
    if (runner_of_thread->is_shared(address, bytes)) return;
    char message[128];
    snprintf(message, sizeof message, "thread %s: %s of address %p, which is not in shared memory",
             text(self().index).c_str(), what, address);
    runner_of_thread->fail(ILLEGAL_ADDRESS, message);
}

void async_copy_16(void* shared, const void* global, bool valid) {
    check_aligned(shared, 16, "cp.async to");
    check_shared(shared, 16, "cp.async to");
    if (valid) check_aligned(global, 16, "cp.async from");
    runner_of_thread->copy_16(self(), shared, valid ? global : nullptr);
}

void async_commit() {
    self().copy_groups.push_back(self().uncommitted);
    self().uncommitted = 0;
}

void async_wait(int groups_left) { runner_of_thread->wait_for_copies(self(), static_cast<size_t>(groups_left)); }

namespace {

void perform(const AsyncCopy& copy) {
    if (copy.from == nullptr) {
        std::memset(copy.to, 0, 16);
    } else {
        std::memcpy(copy.to, copy.from, 16);
    }
}

}  // namespace

// In random order, half of the copies are fast: they show a buffer that is still read by others.
void BlockRunner::copy_16(Fiber& self, void* shared, const void* global) {
    if (random_order && random.next() % 2 == 0) {
        perform({shared, global});
        return;
    }
    self.copies.push_back({shared, global});
    self.uncommitted++;
}

void BlockRunner::wait_for_copies(Fiber& self, size_t groups_left) {
    size_t arrived = 0;
    size_t groups = 0;
    for (; self.copy_groups.size() - groups > groups_left; groups++) {
        for (size_t i = 0; i < self.copy_groups[groups]; i++) perform(self.copies[arrived++]);
    }
    using Difference = std::vector<AsyncCopy>::difference_type;
    self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<Difference>(arrived));
    self.copy_groups.erase(self.copy_groups.begin(), self.copy_groups.begin() + static_cast<Difference>(groups));
}

}  // namespace emulation
