// Devices, contexts, memory, modules, launches, failures.

#include "driver_test.h"

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "common/platform.cuh"

using test::Context;
using test::Setting;

namespace test {

Context::Context() {
    CUcontext context = nullptr;
    CHECK_OK(cuInit(0));
    CHECK_OK(cuDevicePrimaryCtxRetain(&context, 0));
    CHECK_OK(cuCtxSetCurrent(context));
}

Context::~Context() { CHECK_OK(cuDevicePrimaryCtxRelease_v2(0)); }

std::string ptx(const std::string& name, const std::vector<std::string>& types, const std::string& directives,
                const std::string& version, const std::string& target) {
    std::string text = "//\n// a comment; .version 99.9\n//\n.version " + version + "\n.target " + target +
                       "\n.address_size 64\n\n\t// .globl\t" + name + "\n.visible .entry " + name + "(\n";
    for (size_t i = 0; i < types.size(); i++) {
        text += "\t.param " + types[i] + " " + name + "_param_" + std::to_string(i) +
                (i + 1 < types.size() ? ",\n" : "\n");
    }
    return text + ")\n" + directives + "\n{\n\t.reg .b32 %r<2>;\n\tret;\n}\n";
}

CUfunction function(const std::string& name, const std::vector<std::string>& types, const std::string& directives) {
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    CHECK_OK(cuModuleLoadData(&module, ptx(name, types, directives).c_str()));
    CHECK_OK(cuModuleGetFunction(&function, module, name.c_str()));
    return function;
}

CUdeviceptr allocate(size_t bytes) {
    CUdeviceptr address = 0;
    CHECK_OK(cuMemAlloc_v2(&address, bytes));
    return address;
}

CUstream stream(unsigned flags) {
    CUstream stream = nullptr;
    CHECK_OK(cuStreamCreate(&stream, flags));
    return stream;
}

CUevent event(unsigned flags) {
    CUevent event = nullptr;
    CHECK_OK(cuEventCreate(&event, flags));
    return event;
}

struct Gate::State {
    std::mutex lock;
    std::condition_variable changed;
    bool open = false;
    bool ended = false;
};

// Work that is dropped behind a fault ends too, without having waited.
Gate::Gate(CUstream stream) : state(new State()) { CHECK_OK(simulatorEnqueue(stream, wait, state, end)); }

void Gate::wait(void* gate) {
    auto* state = static_cast<State*>(gate);
    std::unique_lock<std::mutex> guard(state->lock);
    state->changed.wait(guard, [&] { return state->open; });
}

void Gate::end(void* gate) {
    auto* state = static_cast<State*>(gate);
    std::unique_lock<std::mutex> guard(state->lock);
    state->ended = true;
    state->changed.notify_all();
}

void Gate::open() {
    std::unique_lock<std::mutex> guard(state->lock);
    state->open = true;
    state->changed.notify_all();
}

Gate::~Gate() {
    open();
    {
        std::unique_lock<std::mutex> guard(state->lock);
        state->changed.wait(guard, [&] { return state->ended; });
    }
    delete state;
}

CUresult add(CUfunction function, CUdeviceptr values, int count, int amount, CUstream stream) {
    void* parameters[] = {&values, &count, &amount};
    return cuLaunchKernel(function, static_cast<unsigned>(count + 63) / 64, 1, 1, 64, 1, 1, 0, stream, parameters,
                          nullptr);
}

}  // namespace test

using test::add;
using test::allocate;
using test::ptx;

extern "C" __global__ void test_add(int* values, int count, int amount) {
    int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) values[i] += amount;
}
REGISTER_KERNEL(test_add);

extern "C" __global__ void test_parameters(double* out, long long a, int b, float c, double d) {
    out[0] = static_cast<double>(a);
    out[1] = b;
    out[2] = static_cast<double>(c);
    out[3] = d;
}
REGISTER_KERNEL(test_parameters);

extern "C" __global__ void test_nothing() {}
REGISTER_KERNEL(test_nothing);

static const std::vector<std::string> ADD = {".u64 .ptr .align 1", ".u32", ".u32"};

TEST(deviceIsWhatTheSettingsSay) {
    int value = 0;
    CHECK_OK(cuDriverGetVersion(&value));
    CHECK_EQUAL(value, 13000);
    CHECK_RESULT(cuInit(1), INVALID_VALUE);
    CHECK_OK(cuInit(0));
    CHECK_OK(cuDeviceGetCount(&value));
    CHECK_EQUAL(value, 1);
    CUdevice device = -1;
    CHECK_OK(cuDeviceGet(&device, 0));
    CHECK_EQUAL(device, 0);
    CHECK_RESULT(cuDeviceGet(&device, 1), INVALID_DEVICE);
    Setting capability("MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY", "8.6");
    Setting version("MEGABYTE4J_SIMULATOR_DRIVER_VERSION", "12040");
    Setting memory("MEGABYTE4J_SIMULATOR_MEMORY", "12345678");
    Setting multiprocessors("MEGABYTE4J_SIMULATOR_MULTIPROCESSORS", "7");
    struct Attribute {
        int which;
        int expected;
    };
    for (Attribute a : {Attribute{75, 8}, {76, 6}, {16, 7}, {10, 32}, {1, 1024}, {8, 49152}, {97, 232448}, {85, 0}}) {
        CHECK_OK(cuDeviceGetAttribute(&value, a.which, 0));
        CHECK_EQUAL(value, a.expected);
    }
    CHECK_RESULT(cuDeviceGetAttribute(&value, 0, 0), INVALID_VALUE);
    CHECK_OK(cuDriverGetVersion(&value));
    CHECK_EQUAL(value, 12040);
    size_t bytes = 0;
    CHECK_OK(cuDeviceTotalMem_v2(&bytes, 0));
    CHECK_EQUAL(bytes, 12345678u);
    CHECK_EQUAL(simulatorSet("MEGABYTE4J_SIMULATOR_NONSENSE", "1"), -1);
}

TEST(aMachineWithoutDevicesSaysSoAtOnce) {
    Setting setting("MEGABYTE4J_SIMULATOR_DEVICES", "0");
    CHECK_RESULT(cuInit(0), NO_DEVICE);
    CUcontext context = nullptr;
    CHECK_RESULT(cuDevicePrimaryCtxRetain(&context, 0), NOT_INITIALIZED);
}

TEST(contextsBelongToThreadsAndEndWithTheirLastReference) {
    CHECK_OK(cuInit(0));
    CUdeviceptr address = 0;
    CHECK_RESULT(cuMemAlloc_v2(&address, 16), INVALID_CONTEXT);
    CUcontext context = nullptr;
    CHECK_OK(cuDevicePrimaryCtxRetain(&context, 0));
    CHECK_OK(cuDevicePrimaryCtxRetain(&context, 0));
    CHECK_OK(cuCtxPushCurrent_v2(context));
    CHECK_OK(cuMemAlloc_v2(&address, 16));
    CUresult of_other_thread = SUCCESS;
    std::thread([&] {
        CUdeviceptr other = 0;
        of_other_thread = cuMemAlloc_v2(&other, 16);
    }).join();
    CHECK_RESULT(of_other_thread, INVALID_CONTEXT);
    CHECK_OK(cuDevicePrimaryCtxRelease_v2(0));
    unsigned flags = 0;
    int active = 0;
    CHECK_OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    CHECK_EQUAL(active, 1);
    CHECK_EQUAL(simulatorLive("allocations"), 1);
    CHECK_OK(cuDevicePrimaryCtxRelease_v2(0));
    CHECK_EQUAL(simulatorLive("allocations"), 0);
    CHECK_EQUAL(simulatorLive("leaked"), 1);
    CHECK_RESULT(cuMemAlloc_v2(&address, 16), CONTEXT_IS_DESTROYED);
    CHECK_RESULT(cuDevicePrimaryCtxRelease_v2(0), INVALID_CONTEXT);
    CUcontext popped = nullptr;
    CHECK_OK(cuCtxPopCurrent_v2(&popped));
    CHECK(popped == context);
    CHECK_RESULT(cuCtxPopCurrent_v2(&popped), INVALID_CONTEXT);
}

TEST(memoryIsAlignedLimitedAndBegunAsNaN) {
    Setting setting("MEGABYTE4J_SIMULATOR_MEMORY", "1000000");
    Context context;
    CUdeviceptr a = allocate(1);
    CUdeviceptr b = allocate(999000);
    CHECK_EQUAL(a % 256, 0u);
    CHECK_EQUAL(b % 256, 0u);
    size_t free = 0;
    size_t total = 0;
    CHECK_OK(cuMemGetInfo_v2(&free, &total));
    CHECK_EQUAL(total, 1000000u);
    CHECK_EQUAL(free, 1000000u - 256 - (999000 + 255) / 256 * 256);
    CUdeviceptr c = 0;
    CHECK_RESULT(cuMemAlloc_v2(&c, free + 1), OUT_OF_MEMORY);
    CHECK_RESULT(cuMemAlloc_v2(&c, 0), INVALID_VALUE);
    CHECK_RESULT(cuMemAlloc_v2(&c, SIZE_MAX), OUT_OF_MEMORY);
    float value = 0;
    CHECK_OK(cuMemcpyDtoH_v2(&value, b + 998996, 4));
    CHECK(value != value);
    CHECK_OK(cuMemFree_v2(b));
    CHECK_RESULT(cuMemFree_v2(b), INVALID_VALUE);
    CHECK_RESULT(cuMemFree_v2(a + 256), INVALID_VALUE);
    CHECK_OK(cuMemFree_v2(0));
    CHECK_OK(cuMemFree_v2(a));
    CHECK_OK(cuMemGetInfo_v2(&free, &total));
    CHECK_EQUAL(free, 1000000u);
    CHECK_EQUAL(simulatorLive("bytes"), 0);
}

TEST(copiesStayInsideOneAllocation) {
    Context context;
    CUdeviceptr a = allocate(1000);
    CUdeviceptr b = allocate(1000);
    std::vector<char> host(2000, 7);
    CHECK_OK(cuMemcpyHtoD_v2(a, host.data(), 1000));
    CHECK_RESULT(cuMemcpyHtoD_v2(a, host.data(), 1001), INVALID_VALUE);
    CHECK_RESULT(cuMemcpyHtoD_v2(a + 1, host.data(), 1000), INVALID_VALUE);
    CHECK_RESULT(cuMemcpyHtoD_v2(a - 1, host.data(), 2), INVALID_VALUE);
    CHECK_RESULT(cuMemcpyDtoH_v2(host.data(), reinterpret_cast<CUdeviceptr>(host.data()), 4), INVALID_VALUE);
    CHECK_OK(cuMemcpyDtoD_v2(b, a, 1000));
    CHECK_OK(cuMemsetD32_v2(b + 500, 0x01020304, 2));
    CHECK_RESULT(cuMemsetD32_v2(b + 501, 0, 2), INVALID_VALUE);
    CHECK_RESULT(cuMemsetD32_v2(b + 996, 0, 2), INVALID_VALUE);
    CHECK_OK(cuMemcpyDtoH_v2(host.data(), b, 1000));
    CHECK_EQUAL(host[499], 7);
    CHECK_EQUAL(host[500], 4);
    CHECK_EQUAL(host[503], 1);
    CHECK_EQUAL(host[508], 7);
    unsigned kind = 0;
    CHECK_OK(cuPointerGetAttribute(&kind, 2, a + 999));
    CHECK_EQUAL(kind, 2u);
    CHECK_RESULT(cuPointerGetAttribute(&kind, 2, a + 1000), INVALID_VALUE);
    CHECK_EQUAL(simulatorIsDeviceMemory(a, 1000), 1);
    CHECK_EQUAL(simulatorIsDeviceMemory(a, 1001), 0);
    void* pinned = nullptr;
    CHECK_OK(cuMemAllocHost_v2(&pinned, 64));
    CHECK_OK(cuPointerGetAttribute(&kind, 2, reinterpret_cast<CUdeviceptr>(pinned)));
    CHECK_EQUAL(kind, 1u);
    CHECK_EQUAL(simulatorLive("pinned"), 1);
    CHECK_OK(cuMemFreeHost(pinned));
    CHECK_EQUAL(simulatorLive("pinned"), 0);
}

#ifndef __SANITIZE_ADDRESS__
TEST(writesBesideAnAllocationAreFoundWhenItIsFreed) {
    Context context;
    CUdeviceptr a = allocate(100);
    CUfunction f = test::function("test_add", ADD);
    CHECK_OK(add(f, a, 26, 1, nullptr));    // the last 4 bytes lie in the gap up to the next multiple of 256
    CHECK_OK(cuCtxSynchronize());
    CHECK_RESULT(cuMemFree_v2(a), ILLEGAL_ADDRESS);
}

TEST(writesBeforeAnAllocationAreFoundToo) {
    Context context;
    CUdeviceptr a = allocate(100);
    CUfunction f = test::function("test_add", ADD);
    CHECK_OK(add(f, a - 4, 1, 1, nullptr));
    CHECK_OK(cuCtxSynchronize());
    CHECK_RESULT(cuMemFree_v2(a), ILLEGAL_ADDRESS);
}
#endif

TEST(modulesAreChecked) {
    Context context;
    CUmodule module = nullptr;
    CHECK_OK(cuModuleLoadData(&module, ptx("test_add", ADD).c_str()));
    CUfunction f = nullptr;
    CHECK_OK(cuModuleGetFunction(&f, module, "test_add"));
    CHECK_RESULT(cuModuleGetFunction(&f, module, "test_sub"), NOT_FOUND);
    CHECK_EQUAL(simulatorLive("modules"), 1);
    CHECK_OK(cuModuleUnload(module));
    CHECK_RESULT(cuModuleUnload(module), INVALID_HANDLE);
    CHECK_EQUAL(simulatorLive("modules"), 0);

    auto load = [&](const std::string& text) { return cuModuleLoadData(&module, text.c_str()); };
    CHECK_RESULT(load(""), INVALID_PTX);
    CHECK_RESULT(load("this is no PTX"), INVALID_PTX);
    CHECK_RESULT(load(".version 9.0\n"), INVALID_PTX);
    CHECK_RESULT(load("\x7f" "ELF"), INVALID_IMAGE);
    CHECK_RESULT(load(ptx("test_add", ADD, "", "9.1")), UNSUPPORTED_PTX_VERSION);
    CHECK_RESULT(load(ptx("test_add", ADD, "", "9.0", "sm_100")), NO_BINARY_FOR_GPU);
    CHECK_OK(load(ptx("test_add", ADD, "", "9.0", "sm_90a")));
    CHECK_RESULT(load(ptx("test_sub", ADD)), INVALID_IMAGE);
    CHECK_RESULT(load(ptx("test_add", {".u64", ".u32"})), INVALID_IMAGE);
    CHECK_RESULT(load(ptx("test_add", {".u64", ".u32", ".u64"})), INVALID_IMAGE);
    {
        Setting setting("MEGABYTE4J_SIMULATOR_DRIVER_VERSION", "12040");
        CHECK_RESULT(load(ptx("test_add", ADD, "", "8.5")), UNSUPPORTED_PTX_VERSION);
        CHECK_OK(load(ptx("test_add", ADD, "", "8.4")));
    }
    {
        Setting setting("MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY", "7.5");
        CHECK_RESULT(load(ptx("test_add", ADD)), NO_BINARY_FOR_GPU);
    }
    {
        Setting setting("MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY", "10.0");
        CHECK_OK(load(ptx("test_add", ADD)));
        CHECK_RESULT(load(ptx("test_add", ADD, "", "9.0", "sm_90a")), NO_BINARY_FOR_GPU);
    }
    char log[200] = "";
    int options[] = {5, 6};
    void* values[] = {log, reinterpret_cast<void*>(sizeof log)};
    CHECK_RESULT(cuModuleLoadDataEx(&module, "no", 2, options, values), INVALID_PTX);
    CHECK(std::strcmp(log, "the PTX cannot be read: it does not begin with .version") == 0);
}

TEST(functionsTellTheirAttributes) {
    Context context;
    CUfunction f = test::function("test_parameters", {".u64", ".u64", ".u32", ".f32", ".f64"}, ".maxntid 128, 2, 1");
    int value = 0;
    CHECK_OK(cuFuncGetAttribute(&value, 0, f));
    CHECK_EQUAL(value, 256);
    CHECK_OK(cuFuncGetAttribute(&value, 8, f));
    CHECK_EQUAL(value, 49152);
    CHECK_RESULT(cuFuncSetAttribute(f, 8, 232449), INVALID_VALUE);
    CHECK_OK(cuFuncSetAttribute(f, 8, 232448));
    size_t offsets[] = {0, 8, 16, 20, 24};
    for (size_t i = 0; i < 5; i++) {
        size_t offset = 99;
        size_t size = 99;
        CHECK_OK(cuFuncGetParamInfo(f, i, &offset, &size));
        CHECK_EQUAL(offset, offsets[i]);
        CHECK_EQUAL(size, (i == 2 || i == 3 ? 4u : 8u));
    }
    size_t offset = 0;
    CHECK_RESULT(cuFuncGetParamInfo(f, 5, &offset, nullptr), INVALID_VALUE);
    int blocks = 0;
    CHECK_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 256, 0));
    CHECK_EQUAL(blocks, 8);
    CHECK_OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, f, 256, 100000));
    CHECK_EQUAL(blocks, 2);
}

TEST(argumentsAreTakenAtTheLaunch) {
    Context context;
    CUfunction f = test::function("test_parameters", {".u64", ".u64", ".u32", ".f32", ".f64"});
    CUstream stream = test::stream();
    CUdeviceptr out = allocate(32);
    long long a = 1ll << 40;
    int b = -5;
    float c = 0.5f;
    double d = 0.1;
    double result[4];
    {
        test::Gate gate(stream);
        void* parameters[] = {&out, &a, &b, &c, &d};
        CHECK_OK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr));
        a = 0;
        d = 0;
    }
    CHECK_OK(cuStreamSynchronize(stream));
    CHECK_OK(cuMemcpyDtoH_v2(result, out, 32));
    CHECK(result[0] == 1099511627776.0 && result[1] == -5 && result[2] == 0.5 && result[3] == 0.1);

    struct {
        CUdeviceptr out;
        long long a;
        int b;
        float c;
        double d;
    } packed = {out, 3, 4, 5, 6};
    size_t bytes = sizeof packed;
    void* extra[] = {reinterpret_cast<void*>(1), &packed, reinterpret_cast<void*>(2), &bytes, nullptr};
    CHECK_OK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, extra));
    CHECK_OK(cuStreamSynchronize(stream));
    CHECK_OK(cuMemcpyDtoH_v2(result, out, 32));
    CHECK(result[0] == 3 && result[1] == 4 && result[2] == 5 && result[3] == 6);
    bytes = 8;
    CHECK_RESULT(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, extra), INVALID_VALUE);
    CHECK_RESULT(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, nullptr), INVALID_VALUE);
}

TEST(launchesKeepTheLimitsOfTheDevice) {
    Context context;
    CUfunction f = test::function("test_nothing", {});
    CUfunction bounded = test::function("test_nothing", {}, ".maxntid 64");
    CUfunction fixed = test::function("test_nothing", {}, "{ .shared .align 4 .b8 tile[40000]; add tile, tile; }//");
    auto launch = [&](CUfunction of, dim3 grid, dim3 block, unsigned shared) {
        CUlaunchConfig config = {grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, nullptr, nullptr, 0};
        CUresult ex = cuLaunchKernelEx(&config, of, nullptr, nullptr);
        CUresult plain = cuLaunchKernel(of, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, nullptr,
                                        nullptr, nullptr);
        CHECK_EQUAL(ex, plain);
        return plain;
    };
    CHECK_OK(launch(f, 1, 1024, 0));
    CHECK_OK(launch(f, dim3(1, 3, 2), dim3(2, 8, 64), 49152));
    CHECK_RESULT(launch(f, 1, 1025, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 1, dim3(1, 1, 65), 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 1, dim3(32, 33), 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 0, 1, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 1, 0, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, dim3(1, 65536), 1, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, dim3(1, 1, 65536), 1, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 2147483648u, 1, 0), INVALID_VALUE);
    CHECK_RESULT(launch(f, 1, 1, 49153), INVALID_VALUE);
    CHECK_OK(cuFuncSetAttribute(f, 8, 232448));
    CHECK_OK(launch(f, 1, 1, 232448));
    CHECK_RESULT(launch(f, 1, 1, 232449), INVALID_VALUE);
    CHECK_OK(launch(bounded, 1, 64, 0));
    CHECK_RESULT(launch(bounded, 1, 65, 0), INVALID_VALUE);
    CHECK_OK(launch(fixed, 1, 1, 9152));
    CHECK_RESULT(launch(fixed, 1, 1, 9153), INVALID_VALUE);
    CHECK_RESULT(cuFuncSetAttribute(fixed, 8, 232448), INVALID_VALUE);
    CHECK_OK(cuFuncSetAttribute(fixed, 8, 232448 - 40000));
    CHECK_OK(launch(fixed, 1, 1, 100000));
    CHECK_OK(cuCtxSynchronize());
    CHECK_RESULT(launch(reinterpret_cast<CUfunction>(&context), 1, 1, 0), INVALID_HANDLE);
}

TEST(clustersHaveTheLimitsOfADevice) {
    Context context;
    CUfunction f = test::function("test_nothing", {});
    struct {
        int id;
        int padding;
        unsigned value[16];
    } attribute = {4, 0, {1, 1, 1}};
    static_assert(sizeof attribute == 72, "as in cuda.h");
    CUlaunchConfig config = {1, 1, 1, 32, 1, 1, 0, nullptr, &attribute, 1};
    auto launch = [&](unsigned grid, unsigned cluster, unsigned shared) {
        config.gridDimX = grid;
        config.sharedMemBytes = shared;
        attribute.value[0] = cluster;
        return cuLaunchKernelEx(&config, f, nullptr, nullptr);
    };
    auto active = [&](unsigned cluster, unsigned shared) {
        config.gridDimX = cluster;
        config.sharedMemBytes = shared;
        attribute.value[0] = cluster;
        int clusters = -1;
        CHECK_OK(cuOccupancyMaxActiveClusters(&clusters, f, &config));
        return clusters;
    };
    CHECK_OK(launch(16, 8, 0));
    CHECK_RESULT(launch(12, 8, 0), INVALID_CLUSTER_SIZE);
    CHECK_RESULT(launch(16, 16, 0), INVALID_CLUSTER_SIZE);
    CHECK_RESULT(launch(16, 0, 0), INVALID_VALUE);
    CHECK_OK(cuFuncSetAttribute(f, 14, 1));
    CHECK_OK(launch(16, 16, 0));
    CHECK_RESULT(launch(17, 17, 0), INVALID_CLUSTER_SIZE);
    // Four multiprocessors, each of which has room for one block with so much shared memory.
    CHECK_OK(cuFuncSetAttribute(f, 8, 232448));
    CHECK_EQUAL(active(2, 200000), 2);
    CHECK_EQUAL(active(4, 200000), 1);
    CHECK_EQUAL(active(8, 200000), 0);
    CHECK_RESULT(launch(8, 8, 200000), LAUNCH_OUT_OF_RESOURCES);
    CHECK_OK(launch(8, 4, 200000));
    CHECK_OK(cuCtxSynchronize());
    Setting older("MEGABYTE4J_SIMULATOR_COMPUTE_CAPABILITY", "8.0");
    CHECK_RESULT(launch(2, 2, 0), INVALID_CLUSTER_SIZE);
}

TEST(aFaultStaysUntilTheContextEnds) {
    {
        Context context;
        CUfunction f = test::function("test_add", ADD);
        CUdeviceptr a = allocate(256);
        CUstream stream = test::stream();
        CHECK_OK(add(f, a, 1 << 24, 1, stream));
        CHECK_RESULT(cuStreamSynchronize(stream), ILLEGAL_ADDRESS);
        CHECK_RESULT(cuMemFree_v2(a), ILLEGAL_ADDRESS);
        CHECK_RESULT(cuCtxSynchronize(), ILLEGAL_ADDRESS);
        CHECK_RESULT(add(f, a, 1, 1, stream), ILLEGAL_ADDRESS);
        int version = 0;
        CHECK_OK(cuDriverGetVersion(&version));
    }
    CHECK_EQUAL(simulatorLive("allocations"), 0);
    CHECK_EQUAL(simulatorLive("leaked"), 3);
    Context context;
    CUfunction f = test::function("test_add", ADD);
    CUdeviceptr a = allocate(256);
    CHECK_OK(add(f, a, 64, 1, nullptr));
    CHECK_OK(cuCtxSynchronize());
}

TEST(failuresAreInjectedIntoTheNthCall) {
    Context context;
    CUdeviceptr address = 0;
    CHECK_OK(cuMemAlloc_v2(&address, 1));
    Setting setting("MEGABYTE4J_SIMULATOR_FAIL", "cuMemAlloc:2:2,cuMemFree:1+:700,kernel.test_add:2:719");
    CHECK_OK(cuMemAlloc_v2(&address, 1));
    CHECK_RESULT(cuMemAlloc_v2(&address, 1), OUT_OF_MEMORY);
    CHECK_OK(cuMemAlloc_v2(&address, 256));
    CHECK_RESULT(cuMemFree_v2(address), ILLEGAL_ADDRESS);
    CHECK_RESULT(cuMemFree_v2(address), ILLEGAL_ADDRESS);
    CUfunction f = test::function("test_add", ADD);
    CHECK_OK(add(f, address, 1, 1, nullptr));
    CHECK_OK(cuCtxSynchronize());
    CHECK_OK(add(f, address, 1, 1, nullptr));
    CHECK_RESULT(cuCtxSynchronize(), LAUNCH_FAILED);
}

TEST(callsAreCounted) {
    Context context;
    simulatorResetCallCounts();
    CUdeviceptr a = allocate(1);
    CHECK_OK(cuMemFree_v2(a));
    CHECK_OK(cuMemFree_v2(0));
    CHECK_EQUAL(simulatorCallCount("cuMemAlloc"), 1);
    CHECK_EQUAL(simulatorCallCount("cuMemFree"), 2);
    CHECK_EQUAL(simulatorCallCount("cuMemcpyHtoD"), 0);
    CHECK_EQUAL(simulatorTotalCalls(), 3);
    CHECK_EQUAL(simulatorLive("nonsense"), -1);
}

TEST(everyNameOfTheDriverCanBeFoundAndCalled) {
    CHECK_OK(cuInit(0));
    void* function = nullptr;
    int status = -1;
    CHECK_OK(cuGetProcAddress_v2("cuMemAlloc", &function, 12000, 0, &status));
    CHECK_EQUAL(status, 0);
    CHECK(function == reinterpret_cast<void*>(&cuMemAlloc_v2));
    CHECK_OK(cuGetProcAddress_v2("cuMemEat", &function, 12000, 0, &status));
    CHECK_EQUAL(status, 1);
    CHECK_OK(cuGetProcAddress_v2("cuTexRefCreate", &function, 12000, 0, &status));
    CHECK_RESULT(reinterpret_cast<CUresult (*)(void*)>(function)(nullptr), NOT_SUPPORTED);
    const char* text = nullptr;
    CHECK_OK(cuGetErrorName(719, &text));
    CHECK(std::strcmp(text, "CUDA_ERROR_LAUNCH_FAILED") == 0);
    CHECK_OK(cuGetErrorString(2, &text));
    CHECK(std::strcmp(text, "out of memory") == 0);
    CHECK_RESULT(cuGetErrorName(12345, &text), INVALID_VALUE);
}
