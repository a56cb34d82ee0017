#include "block_runner.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "cluster.h"
#include "sanitizer.h"
#include "static_shared.h"
#include "thread_state.h"

namespace emulation {

__thread Thread* current __attribute__((tls_model("initial-exec")));
__thread BlockRunner* runner_of_thread __attribute__((tls_model("initial-exec")));

namespace {

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

int any_bit(unsigned bits, unsigned random) {
    int by = static_cast<int>(random & 31);
    unsigned turned = bits >> by | bits << (-by & 31);
    return (__builtin_ctz(turned) + by) & 31;
}

}  // namespace

BlockRunner::BlockRunner() : fibers(new Fiber[MAX_THREADS]()) {
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    dynamic_capacity = rounded(MAX_DYNAMIC_SHARED, page);
    void* mapped = mmap(nullptr, dynamic_capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    dynamic_region = static_cast<char*>(mapped);
    allow_access(dynamic_region, dynamic_capacity);    // marks of what lay there before
    mprotect(dynamic_region + dynamic_capacity, page, PROT_NONE);
    emergency_stack = make_stack(0);
    prepare_thread_for_signals();
}

BlockRunner::~BlockRunner() {
    for (const Stack& stack : stacks) free_stack(stack);
    free_stack(emergency_stack);
    allow_access(dynamic_region, dynamic_capacity);
    munmap(dynamic_region, dynamic_capacity + static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    forget_thread_for_signals();
}

BlockRunner* BlockRunner::of_this_thread() {
    if (runner_of_thread == nullptr) runner_of_thread = new BlockRunner();
    return runner_of_thread;
}

void end_thread() {
    delete runner_of_thread;
    runner_of_thread = nullptr;
}

Outcome BlockRunner::run(const Kernel& of, void* const* with, const LaunchShape& shape, uint3 index,
                         const Schedule& schedule, uint64_t block_number, Cluster* with_others, unsigned rank) {
    kernel = &of;
    arguments = with;
    outcome = {};
    random_order = schedule.random;
    random = Random(schedule.seed ^ block_number * 0xd1342543de82ef95u);
    cluster = with_others;
    prepare(shape, index);
    block.cluster_rank = rank;
    block.cluster_size = shape.cluster;
    if (cluster != nullptr && !cluster->enter(rank, static_cast<char*>(block.dynamic_shared))) return outcome;

    Fiber* first = next();
    start(*first);
    current = first;
    from_main = true;
    leave_stack(&main_fake_stack, first->stack.bottom, first->stack.size);
    switch_context(&main_context, first->context);
    enter_stack(main_fake_stack, nullptr, nullptr);
    current = nullptr;

    for (int i = 0; i < threads; i++) {
        if (fibers[i].stack.bottom == nullptr) continue;    // all of them, but after a fault
        allow_access(fibers[i].stack.bottom, fibers[i].stack.size);
        give_back_stack(fibers[i]);
    }
    if (cluster != nullptr) cluster->leave(rank, outcome);
    return outcome;
}

void BlockRunner::prepare(const LaunchShape& shape, uint3 index) {
    size_t bytes = rounded(shape.dynamic_shared, 16);
    char* dynamic = dynamic_region + dynamic_capacity - bytes;    // so that it ends where access ends
    block = {index, shape.block, shape.grid, dynamic, 0, 1};
    find_static_shared(*kernel, &static_shared, &static_shared_size);
    if (dynamic_size != shape.dynamic_shared) {
        dynamic_size = shape.dynamic_shared;
        forbid_access(dynamic_region, static_cast<size_t>(dynamic - dynamic_region));
        allow_access(dynamic, dynamic_size);
    }
    poison_shared(dynamic_size);
    forbid_access(dynamic + dynamic_size, bytes - dynamic_size);

    threads = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
    live = threads;
    at_barrier = 0;
    at_cluster = 0;
    barrier_votes = 0;
    uint3 at = {0, 0, 0};
    for (int i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        fiber.index = at;
        fiber.block = &block;
        fiber.lane = i % LANES;
        fiber.warp = &warps[i / LANES];
        fiber.arrived = false;
        fiber.copies.clear();
        fiber.copy_groups.clear();
        fiber.uncommitted = 0;
        if (++at.x == shape.block.x) {
            at.x = 0;
            if (++at.y == shape.block.y) {
                at.y = 0;
                at.z++;
            }
        }
    }
    int count = (threads + LANES - 1) / LANES;
    for (int i = 0; i < count; i++) {
        int lanes = threads - i * LANES < LANES ? threads - i * LANES : LANES;
        unsigned all = lanes == LANES ? ~0u : (1u << lanes) - 1;
        warps[i].live = all;
        warps[i].ready = all;
        warps[i].at_barrier = 0;
        warps[i].at_cluster = 0;
        warps[i].gatherings = 0;
    }
    ready_warps = count == 32 ? ~0u : (1u << count) - 1;
    at_warp = 0;
}

// What a block finds in shared memory is what an earlier one left; NaN is the worst of it. The fixed-size memory of
// all kernels together takes longer to fill, so that happens in random order only.
void BlockRunner::poison_shared(size_t dynamic_bytes) {
    std::memset(block.dynamic_shared, 0xff, dynamic_bytes);
    if (random_order && static_shared_size > 0) {
        BlockRunner* me = runner_of_thread;    // in a program of its own, the runtime's variables lie there too
        Thread* running = current;
        std::memset(static_shared, 0xff, static_shared_size);
        runner_of_thread = me;
        current = running;
    }
}

Fiber* BlockRunner::next() {
    if (ready_warps == 0) return nullptr;
    int w;
    int lane;
    if (random_order) {
        uint64_t number = random.next();
        w = any_bit(ready_warps, static_cast<unsigned>(number));
        lane = any_bit(warps[w].ready, static_cast<unsigned>(number >> 32));
    } else {
        unsigned from_here = ready_warps & ~0u << at_warp;
        w = __builtin_ctz(from_here != 0 ? from_here : ready_warps);
        lane = __builtin_ctz(warps[w].ready);
    }
    at_warp = w;
    warps[w].ready &= ~(1u << lane);
    if (warps[w].ready == 0) ready_warps &= ~(1u << w);
    return &fibers[w * LANES + lane];
}

void BlockRunner::make_ready(Warp& warp, unsigned lanes) {
    warp.ready |= lanes;
    if (warp.ready != 0) ready_warps |= 1u << (&warp - warps);
}

void BlockRunner::start(Fiber& fiber) {
    if (stacks.empty()) {
        fiber.stack = make_stack(stacks_made++);
    } else {
        fiber.stack = stacks.back();
        stacks.pop_back();
    }
    fiber.context = make_context(fiber.stack, fiber_main);
    fiber.fake_stack = nullptr;
}

void BlockRunner::give_back_stack(Fiber& fiber) {
    stacks.push_back(fiber.stack);
    fiber.stack.bottom = nullptr;
}

void BlockRunner::switch_to(Fiber* to) {
    auto* self = static_cast<Fiber*>(current);
    if (to == self) return;
    if (to->stack.bottom == nullptr) start(*to);
    current = to;
    leave_stack(&self->fake_stack, to->stack.bottom, to->stack.size);
    switch_context(&self->context, to->context);
    enter_stack(self->fake_stack, nullptr, nullptr);
}

void BlockRunner::wait(Fiber& self, const Place& place, unsigned mask) {
    self.waits = place;
    self.waits_mask = mask;
    Fiber* to = next();
    if (to == nullptr) deadlock();
    switch_to(to);
}

// Whoever completes something goes on with the others.
void BlockRunner::go_on(Fiber& self) {
    unsigned bit = 1u << self.lane;
    if (random_order) {
        make_ready(*self.warp, bit);
        switch_to(next());
    } else {
        self.warp->ready &= ~bit;
        if (self.warp->ready == 0) ready_warps &= ~(1u << (self.warp - warps));
    }
}

void BlockRunner::fiber_main() {
    BlockRunner& runner = *runner_of_thread;
    const void* bottom = nullptr;
    size_t size = 0;
    enter_stack(nullptr, &bottom, &size);
    if (runner.from_main) {
        runner.main_bottom = bottom;
        runner.main_size = size;
        runner.from_main = false;
    }
    for (;;) {
        runner.kernel->invoke(runner.kernel->function, runner.arguments);
        auto* self = static_cast<Fiber*>(current);
        Fiber* to = runner.finish(*self);
        if (to == nullptr) runner.leave();
        if (to->stack.bottom == nullptr) {    // a fresh thread on the stack that is warm in the cache
            to->stack = self->stack;
            to->fake_stack = nullptr;
            self->stack.bottom = nullptr;
            current = to;
            continue;
        }
        runner.give_back_stack(*self);
        current = to;
        leave_stack(nullptr, to->stack.bottom, to->stack.size);
        Context never_used;
        switch_context(&never_used, to->context);
    }
}

Fiber* BlockRunner::finish(Fiber& self) {
    Warp& warp = *self.warp;
    warp.live &= ~(1u << self.lane);
    live--;
    for (int i = 0; i < warp.gatherings; i++) {
        const Gathering& g = warp.gathering[i];
        if (g.operation->whole_warp) {
            fail(LAUNCH_FAILED, "thread " + text(self.index) + " has exited, while other lanes of its warp wait at " +
                                        Place{g.operation->name, g.file, g.line}.text());
        }
        if (g.arrived == (g.mask & warp.live)) complete(warp, i--);
    }
    if (at_barrier > 0 && at_barrier == live) release_barrier();
    if (at_cluster > 0 && at_cluster == live) pass_cluster_barrier();
    Fiber* to = next();
    if (to == nullptr && live > 0) deadlock();
    return to;
}

void BlockRunner::leave() {
    Context never_used;
    leave_stack(nullptr, main_bottom, main_size);
    switch_context(&never_used, main_context);
    __builtin_unreachable();
}

void BlockRunner::fail(int code, const std::string& message) {
    outcome = {code, here() + ": " + message};
    leave();
}

std::string BlockRunner::here() const { return std::string("kernel ") + kernel->name + ", block " + text(block.index); }

}  // namespace emulation
