// Stacks of fibers, and the switch from one to another.

#pragma once

#include <cstddef>

namespace emulation {

struct Stack {
    char* bottom;    // lowest usable address; a page below it is inaccessible
    size_t size;
    size_t color;    // fibers start at different places in their pages, so that they do not share cache sets
};

Stack make_stack(size_t index);
void free_stack(const Stack& stack);

// Whether a faulting address is in the page below a stack.
bool below(const Stack& stack, const void* address);

// A context is the stack pointer at which its registers are saved (or what ucontext needs).
using Context = void*;

// The context that will call entry() on the stack; entry must never return.
Context make_context(const Stack& stack, void (*entry)());

// Saves where we are and goes on at `to`.
void switch_context(Context* from, Context to);

}  // namespace emulation
