// What belongs to an operating-system thread that runs blocks.

#pragma once

#include "block_runner.h"

namespace emulation {

extern __thread BlockRunner* runner_of_thread __attribute__((tls_model("initial-exec")));

// Frees what the calling thread has for running blocks.
void end_thread();

void prepare_thread_for_signals();
void forget_thread_for_signals();

}  // namespace emulation
