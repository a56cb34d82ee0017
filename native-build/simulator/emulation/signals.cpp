// Faults of kernels. A thread of a block that touches what it must not ends its launch; a fault anywhere else goes to
// whoever handled it before, such as the JVM, whose own null checks arrive here.

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "block_runner.h"
#include "sanitizer.h"
#include "thread_state.h"

namespace emulation {
namespace {

constexpr int HANDLED[] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr size_t SIGNAL_STACK_BYTES = 64 << 10;
struct sigaction previous[3];

void pass_on(int number, siginfo_t* info, void* context) {
    for (int i = 0; i < 3; i++) {
        if (HANDLED[i] != number) continue;
        if (previous[i].sa_flags & SA_SIGINFO) {
            previous[i].sa_sigaction(number, info, context);
        } else if (previous[i].sa_handler == SIG_DFL) {
            sigaction(number, &previous[i], nullptr);    // the instruction runs again, and its fault has its usual end
        } else if (previous[i].sa_handler != SIG_IGN) {
            previous[i].sa_handler(number);
        }
    }
}

void handle(int number, siginfo_t* info, void* context) {
    if (current == nullptr || !runner_of_thread->resume_after_signal(number, info->si_addr, context)) {
        pass_on(number, info, context);
    }
}

void install() {
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3; i++) sigaction(HANDLED[i], &action, &previous[i]);
}

}  // namespace

// The handler needs a stack of its own, for a kernel may have run out of its.
void prepare_thread_for_signals() {
    static std::once_flag once;
    std::call_once(once, install);
    stack_t stack = {};
    stack.ss_sp = mmap(nullptr, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack.ss_size = SIGNAL_STACK_BYTES;
    if (stack.ss_sp != MAP_FAILED) sigaltstack(&stack, nullptr);
}

void forget_thread_for_signals() {
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    stack_t old = {};
    sigaltstack(&none, &old);
    if (old.ss_sp != nullptr && !(old.ss_flags & SS_DISABLE)) munmap(old.ss_sp, SIGNAL_STACK_BYTES);
}

bool BlockRunner::resume_after_signal(int number, const void* address, void* context) {
    allow_access(emergency_stack.bottom, emergency_stack.size);    // frames of an earlier fault
    signal_number = number;
    signal_address = address;
    auto* machine = static_cast<ucontext_t*>(context);
    auto top = reinterpret_cast<uintptr_t>(emergency_stack.bottom + emergency_stack.size);
#if defined(__x86_64__)
    machine->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top - 8);    // as after a call
    machine->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(emergency_main));
    return true;
#elif defined(__aarch64__)
    machine->uc_mcontext.sp = top;
    machine->uc_mcontext.pc = reinterpret_cast<uintptr_t>(emergency_main);
    return true;
#else
    (void)machine, (void)top;
    return false;
#endif
}

void BlockRunner::emergency_main() {
    BlockRunner& runner = *runner_of_thread;
    leave_stack(nullptr, runner.emergency_stack.bottom, runner.emergency_stack.size);
    enter_stack(nullptr, nullptr, nullptr);
    auto& thread = *static_cast<Fiber*>(current);
    char what[128];
    if (runner.signal_number == SIGFPE) {
        snprintf(what, sizeof what, "divides an integer by zero");
    } else if (below(thread.stack, runner.signal_address)) {
        snprintf(what, sizeof what, "needs more than %zu KiB for its local variables", thread.stack.size >> 10);
    } else if (runner.signal_address == nullptr) {    // also what x86-64 says of a misaligned vector
        snprintf(what, sizeof what, "accesses a null or misaligned address");
    } else {
        snprintf(what, sizeof what, "accesses address %p, where nothing is allocated", runner.signal_address);
    }
    runner.fail(ILLEGAL_ADDRESS, "thread " + text(thread.index) + " " + what);
}

}  // namespace emulation
