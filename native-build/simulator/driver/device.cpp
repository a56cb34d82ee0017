// Initialisation, the device and its primary context.

#include <cstdio>
#include <cstring>
#include <vector>

#include "graph.h"
#include "memory.h"
#include "objects.h"
#include "state.h"
#include "stream.h"

using namespace driver;

namespace {

thread_local std::vector<CUcontext> context_stack;

CUresult check_device(CUdevice ordinal) { return ordinal == 0 && device().count > 0 ? SUCCESS : INVALID_DEVICE; }

// cuda.h's CU_DEVICE_ATTRIBUTE_*, with the values of an H100 where they do not depend on settings.
CUresult attribute(int which, int* value) {
    Device d = device();
    switch (which) {
        case 1: *value = 1024; break;                       // MAX_THREADS_PER_BLOCK
        case 2: *value = 1024; break;                       // MAX_BLOCK_DIM_X
        case 3: *value = 1024; break;                       // MAX_BLOCK_DIM_Y
        case 4: *value = 64; break;                         // MAX_BLOCK_DIM_Z
        case 5: *value = 2147483647; break;                 // MAX_GRID_DIM_X
        case 6: *value = 65535; break;                      // MAX_GRID_DIM_Y
        case 7: *value = 65535; break;                      // MAX_GRID_DIM_Z
        case 8: *value = DEFAULT_SHARED; break;             // MAX_SHARED_MEMORY_PER_BLOCK
        case 9: *value = 65536; break;                      // TOTAL_CONSTANT_MEMORY
        case 10: *value = 32; break;                        // WARP_SIZE
        case 11: *value = 2147483647; break;                // MAX_PITCH
        case 12: *value = 65536; break;                     // MAX_REGISTERS_PER_BLOCK
        case 13: *value = 1980000; break;                   // CLOCK_RATE, kHz
        case 14: *value = 512; break;                       // TEXTURE_ALIGNMENT
        case 15: *value = 1; break;                         // GPU_OVERLAP
        case 16: *value = d.multiprocessors; break;         // MULTIPROCESSOR_COUNT
        case 19: *value = 1; break;                         // CAN_MAP_HOST_MEMORY
        case 31: *value = 1; break;                         // CONCURRENT_KERNELS
        case 32: *value = 1; break;                         // ECC_ENABLED
        case 36: *value = 2619000; break;                   // MEMORY_CLOCK_RATE, kHz
        case 37: *value = 5120; break;                      // GLOBAL_MEMORY_BUS_WIDTH
        case 38: *value = 50 << 20; break;                  // L2_CACHE_SIZE
        case 39: *value = THREADS_PER_MULTIPROCESSOR; break;
        case 40: *value = 3; break;                         // ASYNC_ENGINE_COUNT
        case 41: *value = 1; break;                         // UNIFIED_ADDRESSING
        case 75: *value = d.major; break;                   // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = d.minor; break;                   // COMPUTE_CAPABILITY_MINOR
        case 78: *value = 1; break;                         // STREAM_PRIORITIES_SUPPORTED
        case 79: *value = 1; break;                         // GLOBAL_L1_CACHE_SUPPORTED
        case 80: *value = 1; break;                         // LOCAL_L1_CACHE_SUPPORTED
        case 81: *value = SHARED_PER_MULTIPROCESSOR; break;
        case 82: *value = 65536; break;                     // MAX_REGISTERS_PER_MULTIPROCESSOR
        case 87: *value = 2; break;                         // SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO
        case 90: *value = 1; break;                         // COMPUTE_PREEMPTION_SUPPORTED
        case 97: *value = OPT_IN_SHARED; break;             // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        case 99: *value = 1; break;                         // HOST_REGISTER_SUPPORTED
        case 106: *value = BLOCKS_PER_MULTIPROCESSOR; break;
        case 111: *value = RESERVED_SHARED; break;          // RESERVED_SHARED_MEMORY_PER_BLOCK
        default:
            if (which < 1 || which > 147) return INVALID_VALUE;
            *value = 0;                                     // what it does not have
    }
    return SUCCESS;
}

// Ends all that lives in the context, as the driver does when the last reference goes.
void destroy_context(Lock& held) {
    CUctx_st& context = state().context;
    size_t leaked = destroy_streams(held);
    leaked += destroy_objects();
    leaked += free_all_memory();
    count_leaked(leaked);
    context = {};
}

}  // namespace

CUcontext driver::current_context() { return context_stack.empty() ? nullptr : context_stack.back(); }

void driver::reset_context(Lock& held) {
    destroy_context(held);
    context_stack.clear();
}

API CUresult cuInit(unsigned flags) {
    return enter("cuInit", Needs::NOTHING, [&](Lock&) {
        if (flags != 0) return INVALID_VALUE;
        state().initialised = device().count > 0;
        state().was_initialised |= state().initialised;
        return state().initialised ? SUCCESS : NO_DEVICE;
    });
}

API CUresult cuDriverGetVersion(int* version) {
    return enter("cuDriverGetVersion", Needs::NOTHING, [&](Lock&) {
        if (version == nullptr) return INVALID_VALUE;
        *version = device().driver_version;
        return SUCCESS;
    });
}

API CUresult cuDeviceGetCount(int* count) {
    return enter("cuDeviceGetCount", Needs::INITIALISED, [&](Lock&) {
        if (count == nullptr) return INVALID_VALUE;
        *count = device().count > 0 ? 1 : 0;
        return SUCCESS;
    });
}

API CUresult cuDeviceGet(CUdevice* result, int ordinal) {
    return enter("cuDeviceGet", Needs::INITIALISED, [&](Lock&) {
        if (result == nullptr) return INVALID_VALUE;
        *result = ordinal;
        return check_device(ordinal);
    });
}

API CUresult cuDeviceGetName(char* name, int length, CUdevice ordinal) {
    return enter("cuDeviceGetName", Needs::INITIALISED, [&](Lock&) {
        if (name == nullptr || length < 1) return INVALID_VALUE;
        snprintf(name, static_cast<size_t>(length), "megabyte4j simulated device");
        return check_device(ordinal);
    });
}

namespace {

CUresult uuid(char* bytes, CUdevice ordinal) {
    if (bytes == nullptr) return INVALID_VALUE;
    std::memcpy(bytes, "megabyte4j-sim-0", 16);
    return check_device(ordinal);
}

}  // namespace

API CUresult cuDeviceGetUuid(char* bytes, CUdevice ordinal) {
    return enter("cuDeviceGetUuid", Needs::INITIALISED, [&](Lock&) { return uuid(bytes, ordinal); });
}

API CUresult cuDeviceGetUuid_v2(char* bytes, CUdevice ordinal) {
    return enter("cuDeviceGetUuid", Needs::INITIALISED, [&](Lock&) { return uuid(bytes, ordinal); });
}

API CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice ordinal) {
    return enter("cuDeviceGetPCIBusId", Needs::INITIALISED, [&](Lock&) {
        if (id == nullptr || length < 13) return INVALID_VALUE;
        snprintf(id, static_cast<size_t>(length), "0000:00:00.0");
        return check_device(ordinal);
    });
}

API CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice ordinal) {
    return enter("cuDeviceTotalMem", Needs::INITIALISED, [&](Lock&) {
        if (bytes == nullptr) return INVALID_VALUE;
        *bytes = device().memory;
        return check_device(ordinal);
    });
}

API CUresult cuDeviceGetAttribute(int* value, int which, CUdevice ordinal) {
    return enter("cuDeviceGetAttribute", Needs::INITIALISED, [&](Lock&) {
        if (value == nullptr) return INVALID_VALUE;
        CUresult result = check_device(ordinal);
        return result != SUCCESS ? result : attribute(which, value);
    });
}

API CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice ordinal) {
    return enter("cuDeviceComputeCapability", Needs::INITIALISED, [&](Lock&) {
        if (major == nullptr || minor == nullptr) return INVALID_VALUE;
        *major = device().major;
        *minor = device().minor;
        return check_device(ordinal);
    });
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext* result, CUdevice ordinal) {
    return enter("cuDevicePrimaryCtxRetain", Needs::INITIALISED, [&](Lock&) {
        if (result == nullptr) return INVALID_VALUE;
        CUctx_st& context = state().context;
        if (check_device(ordinal) != SUCCESS) return INVALID_DEVICE;
        if (context.fault != SUCCESS) return context.fault;
        context.references++;
        *result = &context;
        return SUCCESS;
    });
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    return enter("cuDevicePrimaryCtxRelease", Needs::INITIALISED, [&](Lock& held) {
        CUctx_st& context = state().context;
        if (check_device(ordinal) != SUCCESS) return INVALID_DEVICE;
        if (context.references == 0) return INVALID_CONTEXT;
        if (context.references > 1) {
            context.references--;
        } else {
            destroy_context(held);
        }
        return SUCCESS;
    });
}

API CUresult cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    return enter("cuDevicePrimaryCtxReset", Needs::INITIALISED, [&](Lock& held) {
        if (check_device(ordinal) != SUCCESS) return INVALID_DEVICE;
        destroy_context(held);
        return SUCCESS;
    });
}

API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned flags) {
    return enter("cuDevicePrimaryCtxSetFlags", Needs::INITIALISED, [&](Lock&) {
        state().context.flags = flags;
        return check_device(ordinal);
    });
}

API CUresult cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned* flags, int* active) {
    return enter("cuDevicePrimaryCtxGetState", Needs::INITIALISED, [&](Lock&) {
        if (flags == nullptr || active == nullptr) return INVALID_VALUE;
        *flags = state().context.flags;
        *active = state().context.references > 0;
        return check_device(ordinal);
    });
}

API CUresult cuCtxSetCurrent(CUcontext context) {
    return enter("cuCtxSetCurrent", Needs::INITIALISED, [&](Lock&) {
        if (context != nullptr && context != &state().context) return INVALID_CONTEXT;
        if (!context_stack.empty()) context_stack.pop_back();
        if (context != nullptr) context_stack.push_back(context);
        return SUCCESS;
    });
}

API CUresult cuCtxGetCurrent(CUcontext* result) {
    return enter("cuCtxGetCurrent", Needs::INITIALISED, [&](Lock&) {
        if (result == nullptr) return INVALID_VALUE;
        *result = current_context();
        return SUCCESS;
    });
}

API CUresult cuCtxPushCurrent_v2(CUcontext context) {
    return enter("cuCtxPushCurrent", Needs::INITIALISED, [&](Lock&) {
        if (context != &state().context) return INVALID_CONTEXT;
        context_stack.push_back(context);
        return SUCCESS;
    });
}

API CUresult cuCtxPopCurrent_v2(CUcontext* result) {
    return enter("cuCtxPopCurrent", Needs::INITIALISED, [&](Lock&) {
        if (context_stack.empty()) return INVALID_CONTEXT;
        if (result != nullptr) *result = context_stack.back();
        context_stack.pop_back();
        return SUCCESS;
    });
}

API CUresult cuCtxGetDevice(CUdevice* result) {
    return enter("cuCtxGetDevice", [&](Lock&) {
        if (result == nullptr) return INVALID_VALUE;
        *result = 0;
        return SUCCESS;
    });
}

API CUresult cuCtxGetFlags(unsigned* flags) {
    return enter("cuCtxGetFlags", [&](Lock&) {
        if (flags == nullptr) return INVALID_VALUE;
        *flags = state().context.flags;
        return SUCCESS;
    });
}

API CUresult cuCtxGetApiVersion(CUcontext, unsigned* version) {
    return enter("cuCtxGetApiVersion", [&](Lock&) {
        if (version == nullptr) return INVALID_VALUE;
        *version = 3020;
        return SUCCESS;
    });
}

API CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return enter("cuCtxGetStreamPriorityRange", [&](Lock&) {
        if (least != nullptr) *least = 0;
        if (greatest != nullptr) *greatest = GREATEST_PRIORITY;
        return SUCCESS;
    });
}

API CUresult cuCtxSynchronize() {
    return enter("cuCtxSynchronize", [&](Lock& held) {
        CUresult refused = check_no_capture();
        return refused != SUCCESS ? refused : wait_for_all(held);
    });
}
