#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "../emulation/sanitizer.h"
#include "stream.h"

namespace driver {
namespace {

constexpr char RED = 0x5a;                          // what stands in the gaps around an allocation
constexpr size_t POISONED_BYTES = 64u << 20;        // so much of fresh memory is NaN; more would take too long

struct Memory {
    std::map<uintptr_t, Allocation> allocations;    // by start
    size_t used = 0;                                // of the device
};

Memory& memory() {
    static auto* memory = new Memory();
    return *memory;
}

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t page() {
    static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

// The end lies at an inaccessible page, but for the gap that alignment needs; red zones fill the gaps.
struct Gaps {
    char* before;
    size_t before_bytes;
    char* after;
    size_t after_bytes;
};

Gaps gaps(const Allocation& a) {
    char* inside = a.mapping + page();
    char* end = a.mapping + a.mapping_bytes - page();
    auto before = static_cast<size_t>(a.start - inside);
    before = std::min(before, ALLOCATION_ALIGNMENT);
    char* after = a.start + a.bytes;
    return {a.start - before, before, after, static_cast<size_t>(end - after)};
}

bool allocate(size_t bytes, MemoryKind kind, unsigned flags, Allocation* result) {
    size_t aligned = rounded(bytes, ALLOCATION_ALIGNMENT);
    size_t inside = rounded(aligned, page());
    size_t whole = inside + 2 * page();
    void* mapped = mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return false;
    char* base = static_cast<char*>(mapped);
    if (mprotect(base + page(), inside, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapped, whole);
        return false;
    }
    emulation::allow_access(base + page(), inside);   // where a thread's stack has lain, its marks may be left
    *result = {base + page() + inside - aligned, bytes, kind, flags, base, whole};
    Gaps g = gaps(*result);
    std::memset(g.before, RED, g.before_bytes);
    std::memset(g.after, RED, g.after_bytes);
    emulation::forbid_access(g.before, g.before_bytes);
    emulation::forbid_access(g.after, g.after_bytes);
    if (kind == MemoryKind::DEVICE) std::memset(result->start, 0xff, std::min(bytes, POISONED_BYTES));
    return true;
}

bool untouched(const char* from, size_t bytes) {
    return std::all_of(from, from + bytes, [](char c) { return c == RED; });
}

CUresult release(const Allocation& a) {
    CUresult result = SUCCESS;
    if (a.mapping != nullptr) {
        Gaps g = gaps(a);
        emulation::allow_access(g.before, g.before_bytes);
        emulation::allow_access(g.after, g.after_bytes);
        if (!untouched(g.before, g.before_bytes) || !untouched(g.after, g.after_bytes)) {
            complain("something was written beside the allocation of " + std::to_string(a.bytes) + " bytes");
            result = ILLEGAL_ADDRESS;
        }
        munmap(a.mapping, a.mapping_bytes);
    }
    if (a.kind == MemoryKind::DEVICE) memory().used -= rounded(a.bytes, ALLOCATION_ALIGNMENT);
    return result;
}

// Frees wait for the device, as the driver's do.
CUresult free_at(Lock& held, uintptr_t start, MemoryKind kind) {
    CUresult refused = check_unsafe_call();
    if (refused != SUCCESS) return refused;
    auto found = memory().allocations.find(start);
    if (found == memory().allocations.end() || found->second.kind != kind) return INVALID_VALUE;
    CUresult fault = wait_for_all(held);
    if (fault != SUCCESS) return fault;
    found = memory().allocations.find(start);
    if (found == memory().allocations.end()) return INVALID_VALUE;    // another thread was faster
    Allocation a = found->second;
    memory().allocations.erase(found);
    CUresult damage = release(a);
    if (damage != SUCCESS) {
        state().context.fault = damage;
        state().progress.notify_all();
    }
    return damage;
}

CUresult allocate_pinned(void** result, size_t bytes, unsigned flags) {
    if (result == nullptr || bytes == 0) return INVALID_VALUE;
    CUresult refused = check_unsafe_call();
    if (refused != SUCCESS) return refused;
    Allocation a;
    if (!allocate(bytes, MemoryKind::PINNED, flags, &a)) return OUT_OF_MEMORY;
    memory().allocations[reinterpret_cast<uintptr_t>(a.start)] = a;
    *result = a.start;
    return SUCCESS;
}

}  // namespace

const Allocation* allocation_of(uintptr_t address, size_t bytes) {
    auto& all = memory().allocations;
    auto after = all.upper_bound(address);
    if (after == all.begin()) return nullptr;
    const Allocation& a = std::prev(after)->second;
    uintptr_t offset = address - reinterpret_cast<uintptr_t>(a.start);
    return offset < a.bytes && bytes <= a.bytes - offset ? &a : nullptr;
}

bool is_device(CUdeviceptr address, size_t bytes) {
    const Allocation* a = allocation_of(address, bytes);
    return a != nullptr && a->kind == MemoryKind::DEVICE;
}

bool is_pinned(const void* address, size_t bytes) {
    const Allocation* a = allocation_of(reinterpret_cast<uintptr_t>(address), bytes);
    return a != nullptr && a->kind != MemoryKind::DEVICE;
}

size_t live_allocations(MemoryKind kind) {
    size_t count = 0;
    for (const auto& [start, a] : memory().allocations) count += a.kind == kind;
    return count;
}

size_t used_bytes() { return memory().used; }

size_t free_all_memory() {
    size_t count = memory().allocations.size();
    for (const auto& [start, a] : memory().allocations) release(a);
    memory().allocations.clear();
    memory().used = 0;
    return count;
}

}  // namespace driver

using namespace driver;

API CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    return enter("cuMemGetInfo", [&](Lock&) {
        size_t limit = device().memory;
        if (total != nullptr) *total = limit;
        if (free != nullptr) *free = limit > memory().used ? limit - memory().used : 0;
        return SUCCESS;
    });
}

API CUresult cuMemAlloc_v2(CUdeviceptr* result, size_t bytes) {
    return enter("cuMemAlloc", [&](Lock&) {
        if (result == nullptr || bytes == 0) return INVALID_VALUE;
        CUresult refused = check_unsafe_call();
        if (refused != SUCCESS) return refused;
        size_t limit = device().memory;
        size_t free = limit > memory().used ? limit - memory().used : 0;
        Allocation a;
        if (bytes > free || rounded(bytes, ALLOCATION_ALIGNMENT) > free ||
            !allocate(bytes, MemoryKind::DEVICE, 0, &a)) {
            return OUT_OF_MEMORY;
        }
        memory().used += rounded(bytes, ALLOCATION_ALIGNMENT);
        memory().allocations[reinterpret_cast<uintptr_t>(a.start)] = a;
        *result = reinterpret_cast<CUdeviceptr>(a.start);
        return SUCCESS;
    });
}

API CUresult cuMemFree_v2(CUdeviceptr address) {
    return enter("cuMemFree", [&](Lock& held) {
        return address == 0 ? SUCCESS : free_at(held, address, MemoryKind::DEVICE);
    });
}

API CUresult cuMemGetAddressRange_v2(CUdeviceptr* start, size_t* bytes, CUdeviceptr address) {
    return enter("cuMemGetAddressRange", [&](Lock&) {
        const Allocation* a = allocation_of(address, 1);
        if (a == nullptr) return NOT_FOUND;
        if (start != nullptr) *start = reinterpret_cast<CUdeviceptr>(a->start);
        if (bytes != nullptr) *bytes = a->bytes;
        return SUCCESS;
    });
}

API CUresult cuMemAllocHost_v2(void** result, size_t bytes) {
    return enter("cuMemAllocHost", [&](Lock&) { return allocate_pinned(result, bytes, 0); });
}

API CUresult cuMemHostAlloc(void** result, size_t bytes, unsigned flags) {
    return enter("cuMemHostAlloc", [&](Lock&) { return allocate_pinned(result, bytes, flags); });
}

API CUresult cuMemFreeHost(void* address) {
    return enter("cuMemFreeHost", [&](Lock& held) {
        return free_at(held, reinterpret_cast<uintptr_t>(address), MemoryKind::PINNED);
    });
}

API CUresult cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags) {
    return enter("cuMemHostRegister", [&](Lock&) {
        auto start = reinterpret_cast<uintptr_t>(address);
        if (address == nullptr || bytes == 0) return INVALID_VALUE;
        CUresult refused = check_unsafe_call();
        if (refused != SUCCESS) return refused;
        if (allocation_of(start, 1) != nullptr) return HOST_MEMORY_ALREADY_REGISTERED;
        memory().allocations[start] = {static_cast<char*>(address), bytes, MemoryKind::REGISTERED, flags, nullptr, 0};
        return SUCCESS;
    });
}

API CUresult cuMemHostUnregister(void* address) {
    return enter("cuMemHostUnregister", [&](Lock& held) {
        CUresult result = free_at(held, reinterpret_cast<uintptr_t>(address), MemoryKind::REGISTERED);
        return result == INVALID_VALUE ? HOST_MEMORY_NOT_REGISTERED : result;
    });
}

API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* result, void* address, unsigned flags) {
    return enter("cuMemHostGetDevicePointer", [&](Lock&) {
        if (result == nullptr || flags != 0 || !is_pinned(address, 1)) return INVALID_VALUE;
        *result = reinterpret_cast<CUdeviceptr>(address);
        return SUCCESS;
    });
}

API CUresult cuMemHostGetFlags(unsigned* flags, void* address) {
    return enter("cuMemHostGetFlags", [&](Lock&) {
        const Allocation* a = allocation_of(reinterpret_cast<uintptr_t>(address), 1);
        if (flags == nullptr || a == nullptr || a->kind == MemoryKind::DEVICE) return INVALID_VALUE;
        *flags = a->flags;
        return SUCCESS;
    });
}

namespace {

// cuda.h's CU_POINTER_ATTRIBUTE_*.
CUresult pointer_attribute(void* to, int which, CUdeviceptr address) {
    const Allocation* a = allocation_of(address, 1);
    if (to == nullptr || a == nullptr) return INVALID_VALUE;
    bool on_device = a->kind == MemoryKind::DEVICE;
    switch (which) {
        case 1: *static_cast<CUcontext*>(to) = &state().context; break;
        case 2: *static_cast<unsigned*>(to) = on_device ? 2 : 1; break;    // CU_MEMORYTYPE_DEVICE, _HOST
        case 3: *static_cast<CUdeviceptr*>(to) = address; break;
        case 4:
            if (on_device) return INVALID_VALUE;
            *static_cast<CUdeviceptr*>(to) = address;
            break;
        case 8: *static_cast<unsigned*>(to) = 0; break;                    // IS_MANAGED
        case 9: *static_cast<int*>(to) = 0; break;                         // DEVICE_ORDINAL
        case 11: *static_cast<CUdeviceptr*>(to) = reinterpret_cast<CUdeviceptr>(a->start); break;
        case 12: *static_cast<size_t*>(to) = a->bytes; break;
        default: return NOT_SUPPORTED;
    }
    return SUCCESS;
}

}  // namespace

API CUresult cuPointerGetAttribute(void* to, int which, CUdeviceptr address) {
    return enter("cuPointerGetAttribute", [&](Lock&) { return pointer_attribute(to, which, address); });
}

API CUresult cuPointerGetAttributes(unsigned count, int* which, void** to, CUdeviceptr address) {
    return enter("cuPointerGetAttributes", [&](Lock&) {
        if (which == nullptr || to == nullptr) return INVALID_VALUE;
        for (unsigned i = 0; i < count; i++) pointer_attribute(to[i], which[i], address);
        return SUCCESS;
    });
}
