// The memory of SHARED variables: thread-local ones of the module that the kernel lies in.

#pragma once

#include <cstddef>

#include "device_emulation.h"

namespace emulation {

// Of the calling thread. Size 0 where SHARED is not thread-local.
void find_static_shared(const Kernel& kernel, char** start, size_t* size);

}  // namespace emulation
