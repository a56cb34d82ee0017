// The switch saves what a called function must preserve and nothing else: about 2 ns, where swapcontext's system
// calls for the signal mask cost some 300.

#include "context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#include "sanitizer.h"

namespace emulation {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK_BYTES = 256 << 10;    // frames are larger there
#else
constexpr size_t STACK_BYTES = 64 << 10;
#endif

size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

Stack make_stack(size_t index) {
    void* mapped = mmap(nullptr, STACK_BYTES + page(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED || mprotect(mapped, page(), PROT_NONE) != 0) throw std::bad_alloc();
    allow_access(mapped, STACK_BYTES + page());    // where another thread's stack has lain, its marks may be left
    return {static_cast<char*>(mapped) + page(), STACK_BYTES, index % 16 * 256};
}

void free_stack(const Stack& stack) { munmap(stack.bottom - page(), stack.size + page()); }

bool below(const Stack& stack, const void* address) {
    auto at = static_cast<const char*>(address);
    return at < stack.bottom && at >= stack.bottom - page();
}

#if defined(__x86_64__)

asm(R"(
    .text
    .globl emulation_switch
    .hidden emulation_switch
    .type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulation_switch, .-emulation_switch
)");

extern "C" void emulation_switch(Context* from, Context to);

Context make_context(const Stack& stack, void (*entry)()) {
    auto top = reinterpret_cast<uintptr_t*>(stack.bottom + stack.size - stack.color);
    top[-1] = 0;    // the return address of entry, where unwinders stop
    top[-2] = reinterpret_cast<uintptr_t>(entry);
    for (int i = 3; i <= 8; i++) top[-i] = 0;
    return top - 8;
}

void switch_context(Context* from, Context to) { emulation_switch(from, to); }

#elif defined(__aarch64__)

asm(R"(
    .text
    .globl emulation_switch
    .hidden emulation_switch
    .type emulation_switch, %function
emulation_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emulation_switch, .-emulation_switch
)");

extern "C" void emulation_switch(Context* from, Context to);

Context make_context(const Stack& stack, void (*entry)()) {
    auto top = reinterpret_cast<uintptr_t*>(stack.bottom + stack.size - stack.color);
    uintptr_t* saved = top - 20;
    for (int i = 0; i < 20; i++) saved[i] = 0;
    saved[11] = reinterpret_cast<uintptr_t>(entry);    // x30
    return saved;
}

void switch_context(Context* from, Context to) { emulation_switch(from, to); }

#else

// A ucontext_t per switch, on the stack of the fiber that it describes.
Context make_context(const Stack& stack, void (*entry)()) {
    auto context = new (stack.bottom) ucontext_t;
    getcontext(context);
    size_t used = (sizeof(ucontext_t) + 63) / 64 * 64;
    context->uc_stack.ss_sp = stack.bottom + used;
    context->uc_stack.ss_size = stack.size - used - stack.color;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    return context;
}

void switch_context(Context* from, Context to) {
    ucontext_t here;
    *from = &here;
    swapcontext(&here, static_cast<ucontext_t*>(to));
}

#endif

}  // namespace emulation
