// Modules and their functions.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device_emulation.h"
#include "objects.h"
#include "ptx.h"

struct CUfunc_st {
    const emulation::Kernel* kernel;
    driver::PtxEntry entry;
    CUmodule module;
    int max_dynamic_shared;    // that a launch may ask for
    bool large_clusters;       // whether they may have more than 8 blocks
};

struct CUmod_st {
    driver::Ptx ptx;
    std::vector<std::unique_ptr<CUfunc_st>> functions;
};

namespace driver {

// Whether the handle is of a function of a loaded module.
bool exists(CUfunction function);

}  // namespace driver
