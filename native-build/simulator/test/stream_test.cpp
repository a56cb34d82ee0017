// Streams, events, capture and graphs.

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "driver_test.h"

using test::add;
using test::allocate;
using test::Context;
using test::Gate;
using test::Setting;

namespace {

const std::vector<std::string> ADD = {".u64", ".u32", ".u32"};

// A context with a kernel, some ints that are 0, and two streams that do not mind the legacy one.
struct Work : Context {
    CUfunction f = test::function("test_add", ADD);
    CUdeviceptr values = allocate(256);
    CUstream one = test::stream();
    CUstream two = test::stream();

    Work() {
        CHECK_OK(cuMemsetD32_v2(values, 0, 64));
        CHECK_OK(cuCtxSynchronize());
    }

    // The first value, without any order with streams.
    int value() {
        CUstream reader = test::stream();
        int value = -1;
        CHECK_OK(cuMemcpyDtoHAsync_v2(&value, values, 4, reader));
        CHECK_OK(cuStreamDestroy_v2(reader));
        return value;
    }

    CUresult increment(CUstream stream, int amount = 1) { return add(f, values, 64, amount, stream); }
};

CaptureStatus status(CUstream stream) {
    CaptureStatus status = CAPTURE_NONE;
    CHECK_OK(cuStreamIsCapturing(stream, &status));
    return status;
}

// Ends a capture that must have been spoilt.
void check_invalidated(CUstream stream) {
    CUgraph graph = reinterpret_cast<CUgraph>(1);
    CHECK_EQUAL(status(stream), CAPTURE_INVALIDATED);
    CHECK_RESULT(cuStreamEndCapture(stream, &graph), STREAM_CAPTURE_INVALIDATED);
    CHECK(graph == nullptr);
    CHECK_EQUAL(status(stream), CAPTURE_NONE);
}

void sleep_a_little() { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }

}  // namespace

TEST(streamsRunBesideTheHostAndInOrder) {
    Work w;
    {
        Gate gate(w.one);
        CHECK_OK(w.increment(w.one, 5));
        CHECK_RESULT(cuStreamQuery(w.one), NOT_READY);
        CHECK_OK(cuStreamQuery(w.two));
        CHECK_OK(w.increment(w.two, 7));
        CHECK_OK(cuStreamSynchronize(w.two));
        CHECK_EQUAL(w.value(), 7);
    }
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_OK(cuStreamQuery(w.one));
    CHECK_EQUAL(w.value(), 12);
}

TEST(eventsOrderStreamsAndTellTime) {
    Work w;
    CUevent before = test::event();
    CUevent after = test::event();
    CUevent untimed = test::event(2);
    float milliseconds = -1;
    CHECK_RESULT(cuEventElapsedTime(&milliseconds, before, after), INVALID_HANDLE);
    CHECK_OK(cuEventQuery(before));
    CHECK_OK(cuEventRecord(before, w.one));
    CHECK_OK(cuEventSynchronize(before));
    {
        Gate gate(w.one);
        CHECK_OK(cuEventRecord(after, w.one));
        CHECK_OK(cuEventRecord(untimed, w.one));
        CHECK_OK(cuStreamWaitEvent(w.two, after, 0));
        CHECK_OK(w.increment(w.two));
        CHECK_RESULT(cuEventQuery(after), NOT_READY);
        CHECK_RESULT(cuEventElapsedTime(&milliseconds, before, after), NOT_READY);
        sleep_a_little();
        CHECK_RESULT(cuStreamQuery(w.two), NOT_READY);
        CHECK_EQUAL(w.value(), 0);
    }
    CHECK_OK(cuEventSynchronize(after));
    CHECK_OK(cuEventQuery(after));
    CHECK_OK(cuStreamSynchronize(w.two));
    CHECK_EQUAL(w.value(), 1);
    CHECK_OK(cuEventElapsedTime(&milliseconds, before, after));
    CHECK(milliseconds >= 19 && milliseconds < 10000);
    CHECK_RESULT(cuEventElapsedTime(&milliseconds, before, untimed), INVALID_HANDLE);
    CHECK_EQUAL(simulatorLive("events"), 3);
    CHECK_OK(cuEventDestroy_v2(after));
    CHECK_RESULT(cuEventDestroy_v2(after), INVALID_HANDLE);
    CHECK_EQUAL(simulatorLive("events"), 2);
}

TEST(theLegacyStreamWaitsForBlockingStreamsAndTheyForIt) {
    Work w;
    CUstream blocking = test::stream(0);
    {
        Gate gate(blocking);
        CHECK_OK(w.increment(nullptr));
        CHECK_OK(w.increment(w.one, 10));    // non-blocking: does not wait
        CHECK_OK(cuStreamSynchronize(w.one));
        sleep_a_little();
        CHECK_EQUAL(w.value(), 10);
        CHECK_RESULT(cuStreamQuery(nullptr), NOT_READY);
    }
    CHECK_OK(cuStreamSynchronize(nullptr));
    CHECK_EQUAL(w.value(), 11);
    {
        Gate gate(nullptr);
        CHECK_OK(w.increment(blocking));
        sleep_a_little();
        CHECK_EQUAL(w.value(), 11);
    }
    CHECK_OK(cuStreamSynchronize(blocking));
    CHECK_EQUAL(w.value(), 12);
}

TEST(asynchronousCopiesAreAsynchronousWherePinned) {
    Work w;
    int pageable = 3;
    void* memory = nullptr;
    CHECK_OK(cuMemAllocHost_v2(&memory, 8));
    int* pinned = static_cast<int*>(memory);
    pinned[0] = 4;
    {
        Gate gate(w.one);
        CHECK_OK(cuMemcpyHtoDAsync_v2(w.values, &pageable, 4, w.one));
        CHECK_OK(cuMemcpyHtoDAsync_v2(w.values + 4, pinned, 4, w.one));
        CHECK_OK(cuMemcpyDtoHAsync_v2(pinned + 1, w.values, 4, w.one));
        pageable = 30;     // had been read
        pinned[0] = 40;    // had not
        pinned[1] = 0;
    }
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_EQUAL(pinned[1], 3);
    int both[2];
    CHECK_OK(cuMemcpyDtoHAsync_v2(both, w.values, 8, w.one));    // to pageable memory: returns when it is there
    CHECK_EQUAL(both[0], 3);
    CHECK_EQUAL(both[1], 40);
}

TEST(aDestroyedStreamFinishesItsWork) {
    Work w;
    CHECK_EQUAL(simulatorLive("streams"), 2);
    {
        Gate gate(w.one);
        CHECK_OK(w.increment(w.one));
        CHECK_OK(cuStreamDestroy_v2(w.one));
        CHECK_RESULT(cuStreamQuery(w.one), INVALID_HANDLE);
        CHECK_EQUAL(simulatorLive("streams"), 1);
    }
    CHECK_OK(cuCtxSynchronize());
    CHECK_EQUAL(w.value(), 1);
}

TEST(freeingWaitsForTheDevice) {
    Work w;
    CUdeviceptr used = allocate(256);
    CHECK_OK(cuMemsetD32Async(used, 0, 64, w.one));
    std::atomic<bool> freed{false};
    std::thread other;
    {
        Gate gate(w.one);
        CHECK_OK(add(w.f, used, 64, 1, w.one));
        CUcontext context = nullptr;
        CHECK_OK(cuCtxGetCurrent(&context));
        other = std::thread([&, context] {
            CHECK_OK(cuCtxSetCurrent(context));
            CHECK_OK(cuMemFree_v2(used));
            freed = true;
        });
        sleep_a_little();
        CHECK(!freed);
    }
    other.join();
    CHECK(freed);
    CHECK_OK(cuCtxSynchronize());
}

TEST(aGraphRunsWhatWasCaptured) {
    Work w;
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL));
    CHECK_EQUAL(status(w.one), CAPTURE_ACTIVE);
    CHECK_OK(cuMemsetD32Async(w.values, 5, 64, w.one));
    CHECK_OK(w.increment(w.one, 2));
    CHECK_OK(cuStreamEndCapture(w.one, &graph));
    CHECK_EQUAL(status(w.one), CAPTURE_NONE);
    CHECK_EQUAL(w.value(), 0);    // nothing has run yet
    size_t count = 0;
    CHECK_OK(cuGraphGetNodes(graph, nullptr, &count));
    CHECK_EQUAL(count, 2u);
    CUgraphNode nodes[2];
    CHECK_OK(cuGraphGetNodes(graph, nodes, &count));
    int type = -1;
    CHECK_OK(cuGraphNodeGetType(nodes[0], &type));
    CHECK_EQUAL(type, NODE_MEMSET);
    CHECK_OK(cuGraphNodeGetType(nodes[1], &type));
    CHECK_EQUAL(type, NODE_KERNEL);
    CHECK_OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    CHECK_EQUAL(simulatorLive("graphs"), 1);
    CHECK_EQUAL(simulatorLive("executables"), 1);
    CHECK_OK(cuGraphDestroy(graph));
    CHECK_OK(cuGraphLaunch(executable, w.one));
    CHECK_OK(w.increment(w.one, 100));
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_EQUAL(w.value(), 107);
    {
        Gate gate(w.one);
        CHECK_OK(cuGraphLaunch(executable, w.one));
        CHECK_OK(cuGraphExecDestroy(executable));    // what is launched still runs
    }
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_EQUAL(w.value(), 7);
    CHECK_EQUAL(simulatorLive("graphs"), 0);
    CHECK_EQUAL(simulatorLive("executables"), 0);
    CHECK_RESULT(cuGraphLaunch(executable, w.one), INVALID_VALUE);
}

TEST(anExecutableGraphRunsOnceAtATime) {
    Work w;
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL));
    CHECK_OK(w.increment(w.one));
    CHECK_OK(cuStreamEndCapture(w.one, &graph));
    CHECK_OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    Gate gate(w.one);
    CHECK_OK(cuGraphLaunch(executable, w.one));
    CHECK_OK(cuGraphLaunch(executable, w.two));
    sleep_a_little();
    CHECK_RESULT(cuStreamQuery(w.two), NOT_READY);
    gate.open();
    CHECK_OK(cuStreamSynchronize(w.two));
    CHECK_EQUAL(w.value(), 2);
}

TEST(captureGoesOverToOtherStreamsByEvents) {
    for (const char* schedule : {"ordered", "random:1", "random:2", "random:3"}) {
        Setting setting("MEGABYTE4J_SIMULATOR_SCHEDULE", schedule);
        Work w;
        CUevent fork = test::event(2);
        CUevent join = test::event(2);
        CUgraph graph = nullptr;
        CUgraphExec executable = nullptr;
        CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL));
        CHECK_OK(cuMemsetD32Async(w.values, 1, 64, w.one));
        CHECK_OK(cuEventRecord(fork, w.one));
        CHECK_OK(cuStreamWaitEvent(w.two, fork, 0));
        CHECK_EQUAL(status(w.two), CAPTURE_ACTIVE);
        CHECK_OK(w.increment(w.two, 10));
        CHECK_OK(cuEventRecord(join, w.two));
        CHECK_OK(cuStreamWaitEvent(w.one, join, 0));
        CHECK_OK(cuMemsetD32Async(w.values + 4, 77, 1, w.one));
        CHECK_OK(cuStreamEndCapture(w.one, &graph));
        CHECK_EQUAL(status(w.two), CAPTURE_NONE);
        CHECK_OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
        CHECK_OK(cuGraphLaunch(executable, w.two));
        CHECK_OK(cuStreamSynchronize(w.two));
        CHECK_EQUAL(w.value(), 11);
        int second = 0;
        CHECK_OK(cuMemcpyDtoH_v2(&second, w.values + 4, 4));
        CHECK_EQUAL(second, 77);
    }
}

TEST(captureErrorsAreThoseOfTheDriver) {
    Work w;
    CUgraph graph = nullptr;
    CUevent event = test::event(2);
    CUevent fork = test::event(2);
    auto begin = [&](CUstream stream) { CHECK_OK(cuStreamBeginCapture_v2(stream, CAPTURE_GLOBAL)); };

    CHECK_RESULT(cuStreamEndCapture(w.one, &graph), ILLEGAL_STATE);
    CHECK_RESULT(cuStreamBeginCapture_v2(nullptr, CAPTURE_GLOBAL), STREAM_CAPTURE_UNSUPPORTED);
    begin(w.one);
    CHECK_RESULT(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL), ILLEGAL_STATE);
    CHECK_RESULT(cuStreamSynchronize(w.one), STREAM_CAPTURE_UNSUPPORTED);
    CHECK_RESULT(w.increment(w.one), STREAM_CAPTURE_INVALIDATED);
    check_invalidated(w.one);

    begin(w.one);
    CHECK_RESULT(cuStreamQuery(w.one), STREAM_CAPTURE_UNSUPPORTED);
    check_invalidated(w.one);

    begin(w.one);
    CHECK_RESULT(cuCtxSynchronize(), STREAM_CAPTURE_UNSUPPORTED);
    check_invalidated(w.one);

    begin(w.one);
    CUdeviceptr address = 0;
    CHECK_RESULT(cuMemAlloc_v2(&address, 1), STREAM_CAPTURE_UNSUPPORTED);
    check_invalidated(w.one);

    begin(w.one);
    CHECK_RESULT(cuMemFree_v2(w.values), STREAM_CAPTURE_UNSUPPORTED);
    check_invalidated(w.one);

    begin(w.one);
    int host = 0;
    CHECK_RESULT(cuMemcpyDtoH_v2(&host, w.values, 4), STREAM_CAPTURE_UNSUPPORTED);
    check_invalidated(w.one);

    begin(w.one);
    CHECK_OK(cuEventRecord(event, w.one));
    CHECK_RESULT(cuEventQuery(event), CAPTURED_EVENT);
    check_invalidated(w.one);
    CHECK_RESULT(cuEventSynchronize(event), CAPTURED_EVENT);

    CHECK_OK(cuEventRecord(event, w.two));
    begin(w.one);
    CHECK_RESULT(cuStreamWaitEvent(w.one, event, 0), STREAM_CAPTURE_ISOLATION);
    check_invalidated(w.one);

    begin(w.one);
    begin(w.two);
    CHECK_OK(cuEventRecord(event, w.two));
    CHECK_RESULT(cuStreamWaitEvent(w.one, event, 0), STREAM_CAPTURE_MERGE);
    check_invalidated(w.one);
    check_invalidated(w.two);

    begin(w.one);
    CHECK_OK(cuEventRecord(fork, w.one));
    CHECK_OK(cuStreamWaitEvent(w.two, fork, 0));
    CHECK_RESULT(cuStreamEndCapture(w.two, &graph), STREAM_CAPTURE_UNMATCHED);
    check_invalidated(w.one);

    begin(w.one);
    CHECK_OK(cuEventRecord(fork, w.one));
    CHECK_OK(cuStreamWaitEvent(w.two, fork, 0));
    CHECK_OK(w.increment(w.two));
    CHECK_RESULT(cuStreamEndCapture(w.one, &graph), STREAM_CAPTURE_UNJOINED);
    CHECK_EQUAL(status(w.one), CAPTURE_NONE);
    CHECK_EQUAL(status(w.two), CAPTURE_NONE);

    CUstream blocking = test::stream(0);
    begin(blocking);
    CHECK_RESULT(w.increment(nullptr), STREAM_CAPTURE_IMPLICIT);
    check_invalidated(blocking);
    begin(blocking);
    CHECK_RESULT(cuMemcpyDtoH_v2(&host, w.values, 4), STREAM_CAPTURE_IMPLICIT);
    check_invalidated(blocking);
    begin(w.one);
    CHECK_OK(w.increment(nullptr));    // non-blocking streams have nothing to do with the legacy one
    CHECK_OK(cuStreamEndCapture(w.one, &graph));

    begin(w.one);
    CUresult of_other_thread = SUCCESS;
    CUcontext context = nullptr;
    CHECK_OK(cuCtxGetCurrent(&context));
    std::thread([&] {
        cuCtxSetCurrent(context);
        of_other_thread = cuStreamEndCapture(w.one, &graph);
    }).join();
    CHECK_RESULT(of_other_thread, STREAM_CAPTURE_WRONG_THREAD);
    CHECK_OK(cuStreamEndCapture(w.one, &graph));
    CHECK_OK(cuCtxSynchronize());
    CHECK_EQUAL(w.value(), 1);    // of the legacy stream; nothing captured has run
}

TEST(aGlobalCaptureForbidsAllocationsToOtherThreadsToo) {
    for (CaptureMode mode : {CAPTURE_GLOBAL, CAPTURE_THREAD_LOCAL}) {
        Work w;
        CUcontext context = nullptr;
        CHECK_OK(cuCtxGetCurrent(&context));
        CHECK_OK(cuStreamBeginCapture_v2(w.one, mode));
        CUresult of_other_thread = SUCCESS;
        std::thread([&] {
            cuCtxSetCurrent(context);
            CUdeviceptr address = 0;
            of_other_thread = cuMemAlloc_v2(&address, 1);
        }).join();
        CUgraph graph = nullptr;
        bool global = mode == CAPTURE_GLOBAL;
        CHECK_RESULT(of_other_thread, (global ? STREAM_CAPTURE_UNSUPPORTED : SUCCESS));
        CHECK_RESULT(cuStreamEndCapture(w.one, &graph), (global ? STREAM_CAPTURE_INVALIDATED : SUCCESS));
    }
}

TEST(workBehindAFaultIsDropped) {
    Work w;
    std::atomic<int> ran{0};
    auto count = [](void* data) { ++*static_cast<std::atomic<int>*>(data); };
    {
        Gate one(w.one);
        Gate two(w.two);
        CHECK_OK(cuLaunchHostFunc(w.one, count, &ran));
        CHECK_OK(add(w.f, w.values, 1 << 24, 1, w.one));
        CHECK_OK(cuLaunchHostFunc(w.one, count, &ran));
        one.open();
        CHECK_RESULT(cuStreamSynchronize(w.one), ILLEGAL_ADDRESS);
        CHECK_RESULT(cuLaunchHostFunc(w.two, count, &ran), ILLEGAL_ADDRESS);
    }
    sleep_a_little();
    CHECK_EQUAL(ran.load(), 1);
}

TEST(relaxedCaptureAllowsAllocations) {
    Work w;
    CUgraph graph = nullptr;
    CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_RELAXED));
    CUdeviceptr a = allocate(16);
    CHECK_OK(cuMemFree_v2(a));
    CHECK_OK(cuStreamEndCapture(w.one, &graph));

    CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL));
    CaptureMode mode = CAPTURE_RELAXED;
    CHECK_OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK_EQUAL(mode, CAPTURE_GLOBAL);
    a = allocate(16);
    CHECK_OK(cuThreadExchangeStreamCaptureMode(&mode));
    CHECK_EQUAL(mode, CAPTURE_RELAXED);
    CHECK_OK(cuStreamEndCapture(w.one, &graph));
}

TEST(hostWorkIsEnqueuedCapturedAndReleased) {
    Work w;
    struct Data {
        int runs = 0;
        int releases = 0;
    } data;
    auto run = [](void* d) { static_cast<Data*>(d)->runs++; };
    auto release = [](void* d) { static_cast<Data*>(d)->releases++; };
    CHECK_OK(simulatorEnqueue(w.one, run, &data, release));
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_EQUAL(data.runs, 1);
    CHECK_EQUAL(data.releases, 1);
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    CHECK_OK(cuStreamBeginCapture_v2(w.one, CAPTURE_GLOBAL));
    CHECK_OK(simulatorEnqueue(w.one, run, &data, release));
    CHECK_OK(cuStreamEndCapture(w.one, &graph));
    CHECK_OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    for (int i = 0; i < 3; i++) CHECK_OK(cuGraphLaunch(executable, w.one));
    CHECK_OK(cuStreamSynchronize(w.one));
    CHECK_EQUAL(data.runs, 4);
    CHECK_EQUAL(data.releases, 1);
    CHECK_OK(cuGraphDestroy(graph));
    CHECK_OK(cuGraphExecDestroy(executable));
    CHECK_EQUAL(data.releases, 2);
    CHECK_RESULT(simulatorEnqueue(reinterpret_cast<CUstream>(&w), run, &data, release), INVALID_HANDLE);
    CHECK_EQUAL(data.releases, 3);
}

TEST(manyThreadsMayUseTheirStreamsAtOnce) {
    Work w;
    CUcontext context = nullptr;
    CHECK_OK(cuCtxGetCurrent(&context));
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&, t] {
            cuCtxSetCurrent(context);
            CUstream stream = nullptr;
            cuStreamCreate(&stream, 1);
            CUdeviceptr mine = 0;
            cuMemAlloc_v2(&mine, 400);
            cuMemsetD32Async(mine, 0, 100, stream);
            for (int i = 0; i < 50; i++) add(w.f, mine, 100, t + 1, stream);
            int values[100];
            cuMemcpyDtoHAsync_v2(values, mine, 400, stream);
            for (int value : values) wrong += value != 50 * (t + 1);
            cuMemFree_v2(mine);
            cuStreamDestroy_v2(stream);
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}
