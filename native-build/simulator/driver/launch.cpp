// Launches of kernels, with the limits that a device has.

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "../emulation/cluster.h"
#include "module.h"
#include "stream.h"

using namespace driver;

namespace {

// Arguments as they were at the launch, each at the alignment of its size.
struct Arguments {
    std::vector<unsigned long long> storage;
    std::vector<void*> pointers;
};

std::shared_ptr<Arguments> copy_arguments(const std::vector<size_t>& sizes, void* const* from) {
    auto copy = std::make_shared<Arguments>();
    copy->storage.resize(sizes.size());
    for (size_t i = 0; i < sizes.size(); i++) {
        std::memcpy(&copy->storage[i], from[i], sizes[i]);
        copy->pointers.push_back(&copy->storage[i]);
    }
    return copy;
}

// CU_LAUNCH_PARAM_BUFFER_POINTER (1), _SIZE (2), _END (0): all arguments in one buffer. Null if it is too short.
std::shared_ptr<Arguments> unpack_arguments(const std::vector<size_t>& sizes, void** extra) {
    char* buffer = nullptr;
    size_t bytes = 0;
    for (; *extra != nullptr; extra += 2) {
        if (*extra == reinterpret_cast<void*>(1)) buffer = static_cast<char*>(extra[1]);
        if (*extra == reinterpret_cast<void*>(2)) bytes = *static_cast<size_t*>(extra[1]);
    }
    std::vector<void*> places;
    size_t at = 0;
    for (size_t size : sizes) {
        at = (at + size - 1) / size * size;
        places.push_back(buffer + at);
        at += size;
    }
    return buffer == nullptr || at > bytes ? nullptr : copy_arguments(sizes, places.data());
}

CUresult check_shape(CUfunction f, const emulation::LaunchShape& shape) {
    const dim3& grid = shape.grid;
    const dim3& block = shape.block;
    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 2147483647 || grid.y > 65535 || grid.z > 65535) {
        return INVALID_VALUE;
    }
    if (block.x < 1 || block.y < 1 || block.z < 1 || block.x > 1024 || block.y > 1024 || block.z > 64) {
        return INVALID_VALUE;
    }
    unsigned long long threads = 1ull * block.x * block.y * block.z;
    if (threads > 1024 || threads > static_cast<unsigned long long>(f->entry.max_threads)) return INVALID_VALUE;
    if (shape.dynamic_shared > static_cast<size_t>(f->max_dynamic_shared)) return INVALID_VALUE;
    // Without the opt-in, fixed and dynamic memory share the default 48 KB.
    bool opted_in = f->max_dynamic_shared > DEFAULT_SHARED;
    size_t limit = opted_in ? OPT_IN_SHARED : DEFAULT_SHARED;
    return shape.dynamic_shared + f->entry.static_shared > limit ? INVALID_VALUE : SUCCESS;
}

int blocks_per_multiprocessor(CUfunction f, int threads, size_t dynamic_shared) {
    if (threads > f->entry.max_threads || dynamic_shared > static_cast<size_t>(f->max_dynamic_shared)) return 0;
    int warps = (threads + 31) / 32;
    size_t shared = dynamic_shared + f->entry.static_shared + RESERVED_SHARED;
    int by_shared = static_cast<int>(SHARED_PER_MULTIPROCESSOR / shared);
    return std::min({BLOCKS_PER_MULTIPROCESSOR, THREADS_PER_MULTIPROCESSOR / 32 / warps, by_shared});
}

// Clusters that can run at the same time; 0 if the device is too small for one.
int active_clusters(CUfunction f, const emulation::LaunchShape& shape) {
    int threads = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
    int blocks = device().multiprocessors * blocks_per_multiprocessor(f, threads, shape.dynamic_shared);
    return blocks / static_cast<int>(shape.cluster);
}

CUresult check_cluster(CUfunction f, const emulation::LaunchShape& shape) {
    if (shape.cluster == 1) return SUCCESS;
    unsigned most = f->large_clusters ? emulation::MOST_BLOCKS_OF_CLUSTER : 8;
    if (shape.cluster > most || shape.grid.x % shape.cluster != 0 || device().major < 9) return INVALID_CLUSTER_SIZE;
    return active_clusters(f, shape) == 0 ? LAUNCH_OUT_OF_RESOURCES : SUCCESS;
}

// CUlaunchAttribute: an id, padded to 8 bytes, and a value of 64 bytes. Most are hints (priority, programmatic launch).
CUresult shape_of(const CUlaunchConfig* c, emulation::LaunchShape* shape) {
    constexpr int COOPERATIVE = 2;
    constexpr int CLUSTER_DIMENSION = 4;
    if (c == nullptr || (c->numAttrs > 0 && c->attrs == nullptr)) return INVALID_VALUE;
    *shape = {{c->gridDimX, c->gridDimY, c->gridDimZ}, {c->blockDimX, c->blockDimY, c->blockDimZ}, c->sharedMemBytes};
    for (unsigned i = 0; i < c->numAttrs; i++) {
        const char* attribute = static_cast<const char*>(c->attrs) + 72 * i;
        int id;
        unsigned value[3];
        std::memcpy(&id, attribute, sizeof id);
        std::memcpy(value, attribute + 8, sizeof value);
        if (id == COOPERATIVE && value[0] != 0) return NOT_SUPPORTED;
        if (id != CLUSTER_DIMENSION) continue;
        if (value[0] < 1) return INVALID_VALUE;
        if (value[1] != 1 || value[2] != 1) return NOT_SUPPORTED;
        shape->cluster = value[0];
    }
    return SUCCESS;
}

// A failure may be injected for all kernels, or by name.
CUresult injected_fault(const char* kernel) {
    Lock held(state().lock);
    CUresult fault = injected("kernel");
    return fault != SUCCESS ? fault : injected((std::string("kernel.") + kernel).c_str());
}

CUresult launch(CUfunction f, const emulation::LaunchShape& shape, CUstream handle, void** parameters, void** extra) {
    CUstream stream = stream_of(handle);
    if (stream == nullptr || !exists(f)) return INVALID_HANDLE;
    CUresult refused = check_shape(f, shape);
    if (refused == SUCCESS) refused = check_cluster(f, shape);
    if (refused != SUCCESS) return refused;
    const auto& sizes = f->entry.parameter_sizes;
    std::shared_ptr<Arguments> arguments;
    if (parameters != nullptr) {
        if (extra != nullptr) return INVALID_VALUE;
        arguments = copy_arguments(sizes, parameters);
    } else if (extra != nullptr) {
        arguments = unpack_arguments(sizes, extra);
    } else if (sizes.empty()) {
        arguments = std::make_shared<Arguments>();
    }
    if (arguments == nullptr) return INVALID_VALUE;
    const emulation::Kernel* kernel = f->kernel;
    return enqueue(stream, NODE_KERNEL, [=] {
        CUresult fault = injected_fault(kernel->name);
        if (fault != SUCCESS || !computes()) return fault;
        emulation::Outcome outcome = emulation::run(*kernel, shape, arguments->pointers.data());
        if (outcome.code != 0) complain(outcome.message);
        return static_cast<CUresult>(outcome.code);
    });
}

CUresult occupancy(int* blocks, CUfunction f, int threads, size_t dynamic_shared) {
    if (blocks == nullptr || threads < 1) return INVALID_VALUE;
    if (!exists(f)) return INVALID_HANDLE;
    *blocks = blocks_per_multiprocessor(f, threads, dynamic_shared);
    return SUCCESS;
}

}  // namespace

API CUresult cuLaunchKernel(CUfunction f, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                            unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void** parameters,
                            void** extra) {
    return enter("cuLaunchKernel", [&](Lock&) {
        return launch(f, {{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared}, stream, parameters, extra);
    });
}

API CUresult cuLaunchKernelEx(const CUlaunchConfig* c, CUfunction f, void** parameters, void** extra) {
    return enter("cuLaunchKernelEx", [&](Lock&) {
        emulation::LaunchShape shape;
        CUresult refused = shape_of(c, &shape);
        return refused != SUCCESS ? refused : launch(f, shape, c->hStream, parameters, extra);
    });
}

API CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction f, const CUlaunchConfig* c) {
    return enter("cuOccupancyMaxActiveClusters", [&](Lock&) {
        emulation::LaunchShape shape;
        CUresult refused = clusters == nullptr ? INVALID_VALUE : shape_of(c, &shape);
        if (refused != SUCCESS) return refused;
        if (!exists(f)) return INVALID_HANDLE;
        refused = check_cluster(f, shape);
        *clusters = refused == SUCCESS ? active_clusters(f, shape) : 0;
        return refused == LAUNCH_OUT_OF_RESOURCES ? SUCCESS : refused;
    });
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction f, int threads, size_t shared) {
    return enter("cuOccupancyMaxActiveBlocksPerMultiprocessor",
                 [&](Lock&) { return occupancy(blocks, f, threads, shared); });
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction f, int threads,
                                                                  size_t shared, unsigned) {
    return enter("cuOccupancyMaxActiveBlocksPerMultiprocessor",
                 [&](Lock&) { return occupancy(blocks, f, threads, shared); });
}
