#include "module.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "memory.h"
#include "stream.h"

namespace driver {
namespace {

std::set<CUmodule>& modules() {
    static auto* modules = new std::set<CUmodule>();
    return *modules;
}

// libkernels.so beside this library registers its kernels when it is loaded. A program that has kernels of its own
// can do without.
void load_kernels() {
    static bool tried = false;
    if (tried) return;
    tried = true;
    Dl_info here;
    if (dladdr(reinterpret_cast<void*>(&load_kernels), &here) == 0) return;
    std::string path = here.dli_fname;
    size_t slash = path.find_last_of('/');
    path = (slash == std::string::npos ? "" : path.substr(0, slash + 1)) + "libkernels.so";
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) complain(std::string("no kernels: ") + dlerror());
}

CUresult fail(CUresult code, const std::string& sentence, std::string* log) {
    *log = sentence;
    complain(sentence);
    return code;
}

std::string version_text(int version) {
    return std::to_string(version / 10) + "." + std::to_string(version % 10);
}

// The entry and the host's kernel of the same name must agree in their parameters, or one of them is old.
CUresult bind(const PtxEntry& entry, CUmodule module, std::string* log) {
    const emulation::Kernel* kernel = emulation::find_kernel(entry.name.c_str());
    if (kernel == nullptr) {
        std::string missing = "the PTX has kernel " + entry.name +
                              ", but libkernels.so has not: run make simulator, or REGISTER_KERNEL is missing";
        return fail(INVALID_IMAGE, missing, log);
    }
    if (kernel->parameter_sizes != entry.parameter_sizes) {
        std::string different = "kernel " + entry.name + " has other parameters in the PTX than in libkernels.so: run "
                                "make kernels simulator";
        return fail(INVALID_IMAGE, different, log);
    }
    module->functions.push_back(
        std::make_unique<CUfunc_st>(CUfunc_st{kernel, entry, module, DEFAULT_SHARED, false}));
    return SUCCESS;
}

CUresult load(CUmodule* result, const char* image, std::string* log) {
    if (result == nullptr || image == nullptr) return INVALID_VALUE;
    CUresult refused = check_unsafe_call();
    if (refused != SUCCESS) return refused;
    if (std::strncmp(image, "\x7f" "ELF", 4) == 0) return fail(INVALID_IMAGE, "a cubin is no PTX", log);
    load_kernels();
    auto module = std::make_unique<CUmod_st>();
    module->ptx = parse_ptx(image);
    const Ptx& ptx = module->ptx;
    if (ptx.version == 0) return fail(INVALID_PTX, "the PTX cannot be read: " + ptx.error, log);
    Device d = device();
    if (ptx.version > newest_ptx(d.driver_version)) {
        int newest = newest_ptx(d.driver_version);
        std::string cuda = version_text(d.driver_version / 100 + d.driver_version % 100 / 10);
        return fail(UNSUPPORTED_PTX_VERSION, "PTX " + version_text(ptx.version) + " is newer than " +
                                                 version_text(newest) + ", the newest of driver " + cuda,
                    log);
    }
    if (!ptx.error.empty()) return fail(INVALID_PTX, "the PTX cannot be read: " + ptx.error, log);
    int capability = 10 * d.major + d.minor;
    if (ptx.exact_target ? ptx.target != capability : ptx.target > capability) {
        return fail(NO_BINARY_FOR_GPU, "PTX for sm_" + std::to_string(ptx.target) + (ptx.exact_target ? "a" : "") +
                                           " does not run on compute capability " + version_text(capability),
                    log);
    }
    for (const PtxEntry& entry : ptx.entries) {
        CUresult unbound = bind(entry, module.get(), log);
        if (unbound != SUCCESS) return unbound;
    }
    *result = module.release();
    modules().insert(*result);
    return SUCCESS;
}

// Writes the log where CU_JIT_ERROR_LOG_BUFFER wants it.
void give_log(const std::string& log, unsigned count, const int* options, void** values) {
    char* buffer = nullptr;
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == 5) buffer = static_cast<char*>(values[i]);
        if (options[i] == 6) bytes = static_cast<unsigned>(reinterpret_cast<uintptr_t>(values[i]));
    }
    if (buffer == nullptr || bytes == 0) return;
    size_t length = std::min(log.size(), bytes - 1);
    std::memcpy(buffer, log.data(), length);
    buffer[length] = 0;
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == 6) values[i] = reinterpret_cast<void*>(length);
    }
}

}  // namespace

bool exists(CUfunction function) {
    for (CUmodule module : modules()) {
        for (const auto& of_module : module->functions) {
            if (of_module.get() == function) return true;
        }
    }
    return false;
}

size_t live_modules() { return modules().size(); }

size_t destroy_modules() {
    size_t count = modules().size();
    for (CUmodule module : modules()) delete module;
    modules().clear();
    return count;
}

}  // namespace driver

using namespace driver;

API CUresult cuModuleLoadData(CUmodule* result, const void* image) {
    return enter("cuModuleLoadData", [&](Lock&) {
        std::string log;
        return load(result, static_cast<const char*>(image), &log);
    });
}

API CUresult cuModuleLoadDataEx(CUmodule* result, const void* image, unsigned count, int* options, void** values) {
    return enter("cuModuleLoadDataEx", [&](Lock&) {
        std::string log;
        CUresult loaded = load(result, static_cast<const char*>(image), &log);
        if (options != nullptr && values != nullptr) give_log(log, count, options, values);
        return loaded;
    });
}

API CUresult cuModuleLoad(CUmodule* result, const char* path) {
    return enter("cuModuleLoad", [&](Lock&) {
        if (path == nullptr) return INVALID_VALUE;
        std::ifstream file(path, std::ios::binary);
        if (!file) return FILE_NOT_FOUND;
        std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        std::string log;
        return load(result, text.c_str(), &log);
    });
}

API CUresult cuModuleUnload(CUmodule module) {
    return enter("cuModuleUnload", [&](Lock& held) {
        if (modules().count(module) == 0) return INVALID_HANDLE;
        CUresult refused = check_unsafe_call();
        if (refused == SUCCESS) refused = wait_for_all(held);
        if (refused != SUCCESS) return refused;
        if (modules().erase(module) > 0) delete module;
        return SUCCESS;
    });
}

API CUresult cuModuleGetFunction(CUfunction* result, CUmodule module, const char* name) {
    return enter("cuModuleGetFunction", [&](Lock&) {
        if (result == nullptr || name == nullptr) return INVALID_VALUE;
        if (modules().count(module) == 0) return INVALID_HANDLE;
        for (const auto& function : module->functions) {
            if (function->entry.name == name) {
                *result = function.get();
                return SUCCESS;
            }
        }
        return NOT_FOUND;
    });
}

API CUresult cuModuleGetLoadingMode(int* mode) {
    return enter("cuModuleGetLoadingMode", Needs::INITIALISED, [&](Lock&) {
        if (mode == nullptr) return INVALID_VALUE;
        *mode = 1;    // CU_MODULE_EAGER_LOADING
        return SUCCESS;
    });
}

API CUresult cuFuncGetModule(CUmodule* module, CUfunction function) {
    return enter("cuFuncGetModule", [&](Lock&) {
        if (module == nullptr) return INVALID_VALUE;
        if (!exists(function)) return INVALID_HANDLE;
        *module = function->module;
        return SUCCESS;
    });
}

API CUresult cuFuncGetName(const char** name, CUfunction function) {
    return enter("cuFuncGetName", [&](Lock&) {
        if (name == nullptr) return INVALID_VALUE;
        if (!exists(function)) return INVALID_HANDLE;
        *name = function->entry.name.c_str();
        return SUCCESS;
    });
}

API CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
    return enter("cuFuncGetParamInfo", [&](Lock&) {
        if (offset == nullptr) return INVALID_VALUE;
        if (!exists(function)) return INVALID_HANDLE;
        const auto& sizes = function->entry.parameter_sizes;
        if (index >= sizes.size()) return INVALID_VALUE;
        size_t at = 0;
        for (size_t i = 0; i <= index; i++) {
            at = (at + sizes[i] - 1) / sizes[i] * sizes[i];
            if (i < index) at += sizes[i];
        }
        *offset = at;
        if (size != nullptr) *size = sizes[index];
        return SUCCESS;
    });
}

// cuda.h's CU_FUNC_ATTRIBUTE_*. There are no registers and no local memory here.
API CUresult cuFuncGetAttribute(int* value, int which, CUfunction function) {
    return enter("cuFuncGetAttribute", [&](Lock&) {
        if (value == nullptr) return INVALID_VALUE;
        if (!exists(function)) return INVALID_HANDLE;
        Device d = device();
        switch (which) {
            case 0: *value = function->entry.max_threads; break;
            case 1: *value = static_cast<int>(function->entry.static_shared); break;
            case 4: *value = 32; break;                              // NUM_REGS
            case 5: *value = function->module->ptx.target; break;    // PTX_VERSION: the virtual architecture
            case 6: *value = 10 * d.major + d.minor; break;          // BINARY_VERSION
            case 8: *value = function->max_dynamic_shared; break;
            case 9: *value = -1; break;                              // PREFERRED_SHARED_MEMORY_CARVEOUT
            case 14: *value = function->large_clusters; break;       // NON_PORTABLE_CLUSTER_SIZE_ALLOWED
            default:
                if (which < 0 || which > 15) return INVALID_VALUE;
                *value = 0;
        }
        return SUCCESS;
    });
}

API CUresult cuFuncSetAttribute(CUfunction function, int which, int value) {
    return enter("cuFuncSetAttribute", [&](Lock&) {
        if (!exists(function)) return INVALID_HANDLE;
        if (which == 9) return value >= -1 && value <= 100 ? SUCCESS : INVALID_VALUE;
        if (which == 14) {
            if (value != 0 && value != 1) return INVALID_VALUE;
            function->large_clusters = value == 1;
            return SUCCESS;
        }
        if (which != 8) return INVALID_VALUE;
        if (value < 0 || static_cast<size_t>(value) + function->entry.static_shared > OPT_IN_SHARED) {
            return INVALID_VALUE;
        }
        function->max_dynamic_shared = value;
        return SUCCESS;
    });
}

API CUresult cuFuncSetCacheConfig(CUfunction function, int) {
    return enter("cuFuncSetCacheConfig", [&](Lock&) { return exists(function) ? SUCCESS : INVALID_HANDLE; });
}
