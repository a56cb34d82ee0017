// What every entry point goes through: one lock over all of the driver's state, counted calls, injected failures, and
// the fault that a context keeps.

#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "../emulation/settings.h"
#include "api.h"

struct CUctx_st {
    int references = 0;      // of the primary context; 0: not active
    unsigned flags = 0;
    CUresult fault = SUCCESS;
};

namespace driver {

using Lock = std::unique_lock<std::mutex>;

struct State {
    std::mutex lock;
    std::condition_variable progress;    // of any stream; a fault, too
    bool initialised = false;
    bool was_initialised = false;        // ever: what a reset goes back to
    CUctx_st context;

    // Waits until `done`; a fault ends every wait.
    template <class Predicate>
    CUresult wait(Lock& held, Predicate done) {
        progress.wait(held, [&] { return context.fault != SUCCESS || done(); });
        return context.fault;
    }
};

State& state();

enum class Needs { NOTHING, INITIALISED, CONTEXT };

// Counts the call and says whether it may go on.
CUresult admit(const char* entry, Needs needs);

// The body of an entry point, which holds the lock; `entry` is its documented name, without _v2.
template <class Body>
CUresult enter(const char* entry, Needs needs, Body body) {
    Lock held(state().lock);
    CUresult refused = admit(entry, needs);
    return refused != SUCCESS ? refused : body(held);
}

template <class Body>
CUresult enter(const char* entry, Body body) {
    return enter(entry, Needs::CONTEXT, body);
}

// Whether work computes: with MEGABYTE4J_SIMULATOR_COMPUTE=off kernels and libraries' work end at once.
bool computes();

// Whether a failure of `entry` is injected now; counts one call of it.
CUresult injected(const char* entry);

// For tests.
long calls(const char* entry);
long total_calls();
void reset_calls();
void failures_changed();

// The thread's current context or null.
CUcontext current_context();

// Says on stderr what an error code cannot.
void complain(const std::string& sentence);

// The configured device.
struct Device {
    int count;
    int major;
    int minor;
    int driver_version;
    int multiprocessors;
    size_t memory;
};
Device device();

}  // namespace driver
