// Device and pinned memory. Device addresses are addresses of this process, each allocation between inaccessible
// pages. All functions are called with the driver's lock held.

#pragma once

#include <cstddef>
#include <cstdint>

#include "state.h"

namespace driver {

constexpr size_t ALLOCATION_ALIGNMENT = 256;

enum class MemoryKind { DEVICE, PINNED, REGISTERED };

struct Allocation {
    char* start;
    size_t bytes;
    MemoryKind kind;
    unsigned flags;
    char* mapping;           // null for registered memory, which is the caller's
    size_t mapping_bytes;
};

// The allocation in which the whole range lies, or null.
const Allocation* allocation_of(uintptr_t address, size_t bytes);
bool is_device(CUdeviceptr address, size_t bytes);
bool is_pinned(const void* address, size_t bytes);

size_t live_allocations(MemoryKind kind);
size_t used_bytes();
size_t free_all_memory();

}  // namespace driver
