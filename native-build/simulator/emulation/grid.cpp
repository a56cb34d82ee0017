// Kernels by name, and grids: blocks spread over a few operating-system threads.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "block_runner.h"
#include "cluster.h"
#include "settings.h"

namespace emulation {
namespace {

std::map<std::string, Kernel>& kernels() {
    static auto* map = new std::map<std::string, Kernel>();
    return *map;
}

struct Grid {
    const Kernel& kernel;
    const LaunchShape& shape;
    void* const* arguments;
    Schedule schedule;
    uint64_t clusters;
    uint64_t offset;                       // where random order begins
    std::atomic<uint64_t> next{0};
    std::atomic<bool> failed{false};
    Outcome outcome{};                     // of the first block that failed; guarded by lock
    std::mutex lock{};

    // Clusters, most of them of one block, till there are no more. Random order only turns them around: what blocks do
    // to each other is not what barriers inside a block are for.
    void work() {
        for (;;) {
            uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
            if (number >= clusters || failed.load(std::memory_order_relaxed)) return;
            if (schedule.random) number = clusters - 1 - (number + offset) % clusters;
            Outcome ended = shape.cluster > 1 ? run_cluster(number) : run_block(number, nullptr, 0);
            if (ended.code != 0) {
                std::lock_guard<std::mutex> guard(lock);
                if (outcome.code == 0) outcome = ended;
                failed = true;
            }
        }
    }

    Outcome run_block(uint64_t number, Cluster* cluster, unsigned rank) const {
        uint3 index = {static_cast<unsigned>(number % shape.grid.x),
                       static_cast<unsigned>(number / shape.grid.x % shape.grid.y),
                       static_cast<unsigned>(number / shape.grid.x / shape.grid.y)};
        return BlockRunner::of_this_thread()->run(kernel, arguments, shape, index, schedule, number, cluster, rank);
    }

    // The grid is whole clusters along x.
    Outcome run_cluster(uint64_t number) {
        struct Work {
            Grid& grid;
            Cluster cluster;
            uint64_t first;
        } work = {*this, {shape.cluster, schedule, number}, number * shape.cluster};
        run_members(shape.cluster, [](void* context, unsigned rank) {
            Work& of = *static_cast<Work*>(context);
            of.grid.run_block(of.first + rank, &of.cluster, rank);
        }, &work);
        return work.cluster.outcome();
    }
};

// Threads that help with one grid at a time; they live as long as the process. Nobody waits for one that has not woken
// up before the blocks are all taken.
class Helpers {
public:
    void run(Grid& grid, int wanted) {
        std::unique_lock<std::mutex> guard(lock);
        while (made < wanted) {
            std::thread(&Helpers::help, this, made++).detach();
        }
        open = &grid;
        members = wanted;
        round++;
        guard.unlock();
        begun.notify_all();
        grid.work();
        guard.lock();
        open = nullptr;
        left.wait(guard, [&] { return busy == 0; });
    }

private:
    void help(int index) {
        long done = 0;
        std::unique_lock<std::mutex> guard(lock);
        for (;;) {
            begun.wait(guard, [&] { return open != nullptr && round != done && index < members; });
            done = round;
            Grid* grid = open;
            busy++;
            guard.unlock();
            grid->work();
            guard.lock();
            if (--busy == 0) left.notify_all();
        }
    }

    std::mutex lock;
    std::condition_variable begun;
    std::condition_variable left;
    Grid* open = nullptr;
    int made = 0;
    int members = 0;
    int busy = 0;
    long round = 0;
};

int configured_threads() {
#ifdef __SANITIZE_ADDRESS__
    return 1;    // SHARED variables exist once there
#else
    unsigned cores = std::thread::hardware_concurrency();
    long long threads = setting("MEGABYTE4J_SIMULATOR_THREADS", cores < 2 ? 1 : 2);
    return threads < 1 ? 1 : threads > 64 ? 64 : static_cast<int>(threads);
#endif
}

}  // namespace

Schedule Schedule::configured() {
    std::string value = setting("MEGABYTE4J_SIMULATOR_SCHEDULE");
    if (value.empty() || value == "ordered") return {};
    if (value.rfind("random", 0) != 0) {
        fprintf(stderr, "simulated device: MEGABYTE4J_SIMULATOR_SCHEDULE is %s, not ordered or random:<seed>\n",
                value.c_str());
        abort();
    }
    size_t colon = value.find(':');
    return {true, colon == std::string::npos ? 0 : std::strtoull(value.c_str() + colon + 1, nullptr, 10)};
}

void register_kernel(Kernel kernel) {
    std::string name = kernel.name;
    if (!kernels().emplace(name, std::move(kernel)).second) {
        fprintf(stderr, "simulated device: two kernels are called %s\n", name.c_str());
        abort();
    }
}

const Kernel* find_kernel(const char* name) {
    auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : &found->second;
}

const Kernel* find_kernel(void (*function)()) {
    for (const auto& [name, kernel] : kernels()) {
        if (kernel.function == function) return &kernel;
    }
    return nullptr;
}

Outcome run(const Kernel& kernel, const LaunchShape& shape, void* const* arguments) {
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> guard(one_at_a_time);

    uint64_t blocks = static_cast<uint64_t>(shape.grid.x) * shape.grid.y * shape.grid.z;
    Schedule schedule = Schedule::configured();
    uint64_t clusters = blocks / shape.cluster;
    Grid grid{kernel, shape, arguments, schedule, clusters,
              clusters == 0 ? 0 : Random(schedule.seed).next() % clusters};
    auto threads = static_cast<uint64_t>(configured_threads());
    if (threads > clusters) threads = clusters;
    // Not many more stacks at a time than the largest cluster needs: a process may have only so many mappings.
    if (shape.cluster > 1) threads = std::min<uint64_t>(threads, MOST_BLOCKS_OF_CLUSTER / shape.cluster);
    if (threads > 1) {
        static auto* helpers = new Helpers();    // never destroyed: its threads run until the process ends
        helpers->run(grid, static_cast<int>(threads) - 1);
    } else {
        grid.work();
    }
    return grid.outcome;
}

std::vector<const Kernel*> all_kernels() {
    std::vector<const Kernel*> all;
    for (const auto& [name, kernel] : kernels()) all.push_back(&kernel);
    return all;
}

const Kernel& kernel_named(const char* name) {
    const Kernel* kernel = find_kernel(name);
    if (kernel == nullptr) throw LaunchError(std::string("there is no kernel ") + name);
    return *kernel;
}

const Kernel& kernel_of(void (*function)()) {
    const Kernel* kernel = find_kernel(function);
    if (kernel == nullptr) throw LaunchError("the kernel is not registered: REGISTER_KERNEL is missing");
    return *kernel;
}

void run_checked(const Kernel& kernel, const LaunchShape& shape, void* const* arguments,
                 const std::vector<size_t>& argument_sizes) {
    std::string name = std::string("kernel ") + kernel.name;
    if (argument_sizes.size() != kernel.parameter_sizes.size()) {
        throw LaunchError(name + " has " + std::to_string(kernel.parameter_sizes.size()) + " parameters, not " +
                          std::to_string(argument_sizes.size()));
    }
    for (size_t i = 0; i < argument_sizes.size(); i++) {
        if (argument_sizes[i] != kernel.parameter_sizes[i]) {
            throw LaunchError(name + ": parameter " + std::to_string(i) + " has " +
                              std::to_string(kernel.parameter_sizes[i]) + " bytes, the argument " +
                              std::to_string(argument_sizes[i]));
        }
    }
    uint64_t threads = static_cast<uint64_t>(shape.block.x) * shape.block.y * shape.block.z;
    if (threads < 1 || threads > MAX_THREADS) throw LaunchError(name + ": a block of " + std::to_string(threads));
    if (shape.dynamic_shared > MAX_DYNAMIC_SHARED) throw LaunchError(name + ": too much dynamic shared memory");
    if (shape.cluster < 1 || shape.cluster > MOST_BLOCKS_OF_CLUSTER || shape.grid.x % shape.cluster != 0) {
        throw LaunchError(name + ": clusters of " + std::to_string(shape.cluster) + " blocks");
    }
    Outcome outcome = run(kernel, shape, arguments);
    if (outcome.code != 0) throw LaunchError(outcome.message);
}

}  // namespace emulation
