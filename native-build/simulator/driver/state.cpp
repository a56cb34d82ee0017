#include "state.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <vector>

#include "../emulation/settings.h"

namespace driver {
namespace {

struct Failure {
    std::string entry;
    long from;
    bool ever_after;    // n+: the n-th call and all later ones
    CUresult code;
};

struct Counters {
    std::map<std::string, long> calls;
    std::map<std::string, long> since_failures_changed;
    bool read = false;
    std::vector<Failure> failures;
};

// The state outlives the last thread of the process: it is never destroyed.
Counters& counters() {
    static auto* all = new Counters();
    return *all;
}

// "cuMemAlloc:3:2,kernel:1+:700"
void read_failures() {
    Counters& c = counters();
    c.read = true;
    c.failures.clear();
    std::stringstream list(emulation::setting("MEGABYTE4J_SIMULATOR_FAIL"));
    for (std::string item; std::getline(list, item, ',');) {
        char entry[128];
        char count[32];
        int code;
        if (sscanf(item.c_str(), "%127[^:]:%31[^:]:%d", entry, count, &code) != 3 || atol(count) < 1) {
            fprintf(stderr, "simulated device: MEGABYTE4J_SIMULATOR_FAIL has %s, not <entry>:<n>[+]:<code>\n",
                    item.c_str());
            abort();
        }
        bool ever_after = std::string(count).back() == '+';
        c.failures.push_back({entry, atol(count), ever_after, static_cast<CUresult>(code)});
    }
}

}  // namespace

bool computes() { return emulation::setting("MEGABYTE4J_SIMULATOR_COMPUTE") != "off"; }

State& state() {
    static auto* state = new State();
    return *state;
}

CUresult injected(const char* entry) {
    Counters& c = counters();
    if (!c.read) read_failures();
    if (c.failures.empty()) return SUCCESS;
    long number = ++c.since_failures_changed[entry];
    for (const Failure& failure : c.failures) {
        if (failure.entry == entry && (number == failure.from || (failure.ever_after && number > failure.from))) {
            return failure.code;
        }
    }
    return SUCCESS;
}

void failures_changed() {
    counters().read = false;
    counters().since_failures_changed.clear();
}

CUresult admit(const char* entry, Needs needs) {
    counters().calls[entry]++;
    CUresult failure = injected(entry);
    if (failure != SUCCESS) return failure;
    if (needs == Needs::NOTHING) return SUCCESS;
    State& s = state();
    if (!s.initialised) return NOT_INITIALIZED;
    if (needs == Needs::INITIALISED) return SUCCESS;
    CUcontext context = current_context();
    if (context == nullptr) return INVALID_CONTEXT;
    if (context->references == 0) return CONTEXT_IS_DESTROYED;
    return context->fault;
}

long calls(const char* entry) {
    auto& all = counters().calls;
    auto found = all.find(entry);
    return found == all.end() ? 0 : found->second;
}

long total_calls() {
    long total = 0;
    for (const auto& [entry, count] : counters().calls) total += count;
    return total;
}

void reset_calls() { counters().calls.clear(); }

void complain(const std::string& sentence) { fprintf(stderr, "simulated device: %s\n", sentence.c_str()); }

Device device() {
    Device d = {};
    d.count = static_cast<int>(emulation::setting("MEGABYTE4J_SIMULATOR_DEVICES", 1));
    std::string capability = emulation::setting("MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY");
    d.major = 9;
    d.minor = 0;
    if (!capability.empty()) sscanf(capability.c_str(), "%d.%d", &d.major, &d.minor);
    d.driver_version = static_cast<int>(emulation::setting("MEGABYTE4J_SIMULATOR_DRIVER_VERSION", 13000));
    d.multiprocessors = static_cast<int>(emulation::setting("MEGABYTE4J_SIMULATOR_MULTIPROCESSORS", 4));
    d.memory = static_cast<size_t>(emulation::setting("MEGABYTE4J_SIMULATOR_MEMORY", 8ll << 30));
    return d;
}

}  // namespace driver
