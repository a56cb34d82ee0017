// Modules, events and graphs as a whole: counting and destroying them. Limits of the device that several files need.

#pragma once

#include <cstddef>

#include "state.h"

namespace driver {

constexpr int DEFAULT_SHARED = 48 << 10;
constexpr int OPT_IN_SHARED = 227 << 10;
constexpr int SHARED_PER_MULTIPROCESSOR = 228 << 10;
constexpr int RESERVED_SHARED = 1 << 10;
constexpr int THREADS_PER_MULTIPROCESSOR = 2048;
constexpr int BLOCKS_PER_MULTIPROCESSOR = 32;
constexpr int GREATEST_PRIORITY = -5;

size_t live_events();
size_t live_modules();
size_t live_graphs();
size_t live_graph_executables();

size_t destroy_events();
size_t destroy_modules();
size_t destroy_graphs();

inline size_t destroy_objects() { return destroy_events() + destroy_modules() + destroy_graphs(); }

// What the destruction of a context had to end, since reset.
void count_leaked(size_t objects);

void reset_context(Lock& held);

}  // namespace driver
