// What the driver needs to know of a PTX module: its versions and its entry points. The instructions are not looked at.

#pragma once

#include <string>
#include <vector>

namespace driver {

struct PtxEntry {
    std::string name;
    std::vector<size_t> parameter_sizes;
    int max_threads = 1024;      // .maxntid
    size_t static_shared = 0;    // of the shared variables that its text names
};

struct Ptx {
    int version = 0;             // 90 for 9.0
    int target = 0;              // 80 for sm_80
    bool exact_target = false;   // sm_90a: runs on that capability only
    std::vector<PtxEntry> entries;
    std::string error;           // why it is no PTX; empty if it is
};

Ptx parse_ptx(const char* text);

// The newest PTX that a driver reads, and the first CUDA version that reads a PTX version (e.g. 13000).
int newest_ptx(int driver_version);

}  // namespace driver
