// What AddressSanitizer must be told of stacks that change under it; nothing without it.

#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulation {

// Before a switch; `fake_stack` is null where the fiber that runs will never run again.
inline void leave_stack(void** fake_stack, const void* to_bottom, size_t to_size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, to_bottom, to_size);
#else
    (void)fake_stack, (void)to_bottom, (void)to_size;
#endif
}

// After a switch, with what leave_stack saved of this fiber; tells the stack that we came from.
inline void enter_stack(void* fake_stack, const void** from_bottom, size_t* from_size) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, from_bottom, from_size);
#else
    (void)fake_stack, (void)from_bottom, (void)from_size;
#endif
}

inline void allow_access(const void* from, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(from, bytes);
#else
    (void)from, (void)bytes;
#endif
}

inline void forbid_access(const void* from, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __asan_poison_memory_region(from, bytes);
#else
    (void)from, (void)bytes;
#endif
}

}  // namespace emulation
