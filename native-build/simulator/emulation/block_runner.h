// Runs the threads of one block after another as fibers of the operating-system thread that calls run().

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "context.h"
#include "device_emulation.h"
#include "schedule.h"

namespace emulation {

class Cluster;
struct Fiber;

constexpr int MAX_THREADS = 1024;
constexpr int LANES = 32;
constexpr size_t MAX_DYNAMIC_SHARED = 227 << 10;

// CUresult, as cuda.h numbers it.
constexpr int ILLEGAL_ADDRESS = 700;
constexpr int ASSERT = 710;
constexpr int MISALIGNED_ADDRESS = 716;
constexpr int LAUNCH_FAILED = 719;

std::string text(uint3 index);

struct Place {
    const char* what = nullptr;
    const char* file = nullptr;
    int line = 0;

    bool operator==(const Place& other) const { return what == other.what && line == other.line && same_file(other); }
    bool same_file(const Place& other) const;
    std::string text() const;
};

// Lanes that have come to the same warp operation with the same mask and wait for the rest of it.
struct Gathering {
    unsigned mask;
    unsigned arrived;
    const Operation* operation;
    int line;
    const char* file;
};

struct Warp {
    unsigned live;     // lanes that exist and have not exited
    unsigned ready;    // lanes that could go on, without the one that runs
    unsigned at_barrier;
    unsigned at_cluster;
    int gatherings;
    Gathering gathering[LANES];
    void* payload[LANES];
};

struct AsyncCopy {
    void* to;
    const void* from;    // null for zeros
};

struct Fiber : Thread {
    int lane;
    Warp* warp;
    Context context;
    Stack stack;         // bottom is null before it has started and after it has ended
    void* fake_stack;
    Place waits;
    unsigned waits_mask;
    bool arrived;        // at the cluster's barrier
    std::vector<AsyncCopy> copies;       // not yet performed, oldest first
    std::vector<size_t> copy_groups;     // how many of them belong to each committed group, oldest first
    size_t uncommitted;
};

class BlockRunner {
public:
    BlockRunner();
    ~BlockRunner();
    BlockRunner(const BlockRunner&) = delete;

    // Runs a block to its end or its fault; `cluster` is what it is the block `rank` of, or null.
    Outcome run(const Kernel& kernel, void* const* arguments, const LaunchShape& shape, uint3 index,
                const Schedule& schedule, uint64_t block_number, Cluster* cluster, unsigned rank);

    // What threads call, through the functions of the same names in emulation/thread.h.
    void collective(Fiber& self, unsigned mask, const Operation& operation, void* payload, int line, const char* file);
    int barrier(Fiber& self, bool predicate, int line, const char* file);
    void cluster_arrive(Fiber& self, int line, const char* file);
    void cluster_wait(Fiber& self, int line, const char* file);
    void* in_cluster(Fiber& self, const void* shared, size_t bytes, unsigned rank, const char* what);
    void copy_16(Fiber& self, void* shared, const void* global);
    void wait_for_copies(Fiber& self, size_t groups_left);
    bool is_shared(const void* address, size_t bytes) const;

    // Ends the block: nothing of it runs any more.
    [[noreturn]] void fail(int code, const std::string& message);

    // For the signal handler: lets the thread go on where its fault is reported. False if that is not possible.
    bool resume_after_signal(int number, const void* address, void* context);

    static BlockRunner* of_this_thread();

private:
    void prepare(const LaunchShape& shape, uint3 index);
    void poison_shared(size_t dynamic_bytes);
    Fiber* next();
    void switch_to(Fiber* to);
    void make_ready(Warp& warp, unsigned lanes);
    void wait(Fiber& self, const Place& place, unsigned mask);
    void go_on(Fiber& self);
    void start(Fiber& fiber);
    void give_back_stack(Fiber& fiber);
    Fiber* finish(Fiber& self);
    void release_barrier();
    void pass_cluster_barrier();
    void complete(Warp& warp, int which);
    [[noreturn]] void deadlock();
    [[noreturn]] void leave();
    std::string here() const;
    static void fiber_main();
    static void emergency_main();

    const Kernel* kernel = nullptr;
    void* const* arguments = nullptr;
    Block block = {};
    Outcome outcome;
    Random random{0};
    bool random_order = false;

    std::unique_ptr<Fiber[]> fibers;
    int threads = 0;
    int live = 0;
    Warp warps[MAX_THREADS / LANES];
    unsigned ready_warps = 0;    // those with a bit in `ready`
    int at_warp = 0;             // whose turn it is

    int at_barrier = 0;
    int barrier_votes = 0;
    int barrier_result = 0;
    Place barrier_place;

    Cluster* cluster = nullptr;
    int at_cluster = 0;

    std::vector<Stack> stacks;    // free ones
    size_t stacks_made = 0;
    Context main_context = nullptr;
    void* main_fake_stack = nullptr;
    const void* main_bottom = nullptr;
    size_t main_size = 0;
    bool from_main = false;

    char* dynamic_region = nullptr;
    size_t dynamic_capacity = 0;
    size_t dynamic_size = SIZE_MAX;   // of the last block, and what may be accessed
    Stack emergency_stack;
    int signal_number = 0;
    const void* signal_address = nullptr;

    char* static_shared = nullptr;    // the kernels' thread-local variables, in this thread
    size_t static_shared_size = 0;
};

}  // namespace emulation
