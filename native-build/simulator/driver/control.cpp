// What tests use to look into the simulated device and to set it up, since a JVM cannot change its environment. Not
// CUDA functions; see docs/simulator.md.

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <string>

#include "memory.h"
#include "objects.h"
#include "state.h"
#include "stream.h"

namespace driver {
namespace {

size_t leaked = 0;
long handles = 0;    // of cuBLAS's stand-ins

}  // namespace

void count_leaked(size_t objects) { leaked += objects; }

}  // namespace driver

using namespace driver;

// Sets what the environment variable `name` would set; null or empty takes that again. 0, or -1 for an unknown name.
API int simulatorSet(const char* name, const char* value) {
    constexpr const char* KNOWN[] = {
        "MEGABYTE4J_SIMULATOR_DEVICES", "MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY",
        "MEGABYTE4J_SIMULATOR_DRIVER_VERSION", "MEGABYTE4J_SIMULATOR_MULTIPROCESSORS",
        "MEGABYTE4J_SIMULATOR_MEMORY", "MEGABYTE4J_SIMULATOR_FAIL",
        "MEGABYTE4J_SIMULATOR_SCHEDULE", "MEGABYTE4J_SIMULATOR_THREADS",
        "MEGABYTE4J_SIMULATOR_COMPUTE"};
    for (const char* known : KNOWN) {
        if (name == nullptr || std::strcmp(name, known) != 0) continue;
        Lock held(state().lock);
        emulation::set_setting(name, value);
        if (std::strcmp(name, "MEGABYTE4J_SIMULATOR_FAIL") == 0) failures_changed();
        return 0;
    }
    return -1;
}

// How often an entry point was called since the start or the last reset, by its name without _v2.
API long simulatorCallCount(const char* entry) {
    Lock held(state().lock);
    return calls(entry);
}

// All entry points together.
API long simulatorTotalCalls() {
    Lock held(state().lock);
    return total_calls();
}

API void simulatorResetCallCounts() {
    Lock held(state().lock);
    reset_calls();
}

// How many there are: allocations, bytes, pinned, streams, events, modules, graphs, executables, contexts (references
// to the primary one), handles (of cuBLAS), and leaked (what contexts still had when they were destroyed). -1 for
// another word.
API long simulatorLive(const char* kind) {
    Lock held(state().lock);
    std::string of = kind == nullptr ? "" : kind;
    if (of == "allocations") return static_cast<long>(live_allocations(MemoryKind::DEVICE));
    if (of == "bytes") return static_cast<long>(used_bytes());
    if (of == "pinned") return static_cast<long>(live_allocations(MemoryKind::PINNED));
    if (of == "streams") return static_cast<long>(live_streams());
    if (of == "events") return static_cast<long>(live_events());
    if (of == "modules") return static_cast<long>(live_modules());
    if (of == "graphs") return static_cast<long>(live_graphs());
    if (of == "executables") return static_cast<long>(live_graph_executables());
    if (of == "contexts") return state().context.references;
    if (of == "handles") return handles;
    if (of == "leaked") return static_cast<long>(leaked);
    return -1;
}

// Whether device memory holds the whole range, for the stand-ins of other libraries.
API int simulatorIsDeviceMemory(CUdeviceptr address, size_t bytes) {
    Lock held(state().lock);
    return is_device(address, bytes);
}

// For the stand-ins: counts a call, and says which failure of it is injected.
API int simulatorEnter(const char* entry) {
    Lock held(state().lock);
    return admit(entry, Needs::NOTHING);
}

// For the stand-ins: handles and descriptors that have come or gone.
API void simulatorCountObjects(long change) {
    Lock held(state().lock);
    handles += change;
}

// Ends everything that lives, forgets settings, counts and faults. Like a driver, it stays initialised.
API void simulatorReset() {
    Lock held(state().lock);
    reset_context(held);
    state().initialised = state().was_initialised;
    emulation::reset_settings();
    failures_changed();
    reset_calls();
    leaked = 0;
}

namespace {

// The newest version of a function that this library has, as cuda.h's names without suffix mean it.
void* entry_point(const char* name) {
    static void* self = nullptr;
    if (self == nullptr) {
        Dl_info here;
        if (dladdr(reinterpret_cast<void*>(&simulatorReset), &here) == 0) return nullptr;
        self = dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        if (self == nullptr) self = dlopen(nullptr, RTLD_LAZY);    // linked into a program
    }
    void* newest = dlsym(self, (std::string(name) + "_v2").c_str());
    return newest != nullptr ? newest : dlsym(self, name);
}

}  // namespace

API CUresult cuGetProcAddress_v2(const char* name, void** function, int, unsigned long long, int* status) {
    return enter("cuGetProcAddress", Needs::NOTHING, [&](Lock&) {
        if (name == nullptr || function == nullptr) return INVALID_VALUE;
        *function = entry_point(name);
        bool found = *function != nullptr;
        if (status != nullptr) *status = found ? 0 : 1;    // CU_GET_PROC_ADDRESS_SUCCESS, _SYMBOL_NOT_FOUND
        return found || status != nullptr ? SUCCESS : NOT_FOUND;
    });
}

API CUresult cuGetProcAddress(const char* name, void** function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}
