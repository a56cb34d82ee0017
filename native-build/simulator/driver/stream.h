// Streams: queues of work, each with a thread of its own. All functions are called with the driver's lock held.

#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "capture.h"
#include "state.h"

namespace driver {

// A place in a stream's work: done once all work before it is.
struct Marker {
    bool done = false;
    std::chrono::steady_clock::time_point when;
};
using MarkerRef = std::shared_ptr<Marker>;

// Runs on the stream's thread without the lock; a code other than SUCCESS is a fault of the context.
using Task = std::function<CUresult()>;

struct Work {
    Task task;                        // empty: only a place
    std::vector<MarkerRef> after;     // of other streams
    MarkerRef marker;
};

}  // namespace driver

struct CUstream_st {
    unsigned flags = 0;
    int priority = 0;
    unsigned long long id = 0;
    std::deque<driver::Work> queue;    // the first is the one that runs
    driver::MarkerRef last;            // marker of the newest work, null before there was any
    std::vector<driver::MarkerRef> awaited;    // what the next work has to wait for
    bool worker = false;               // whether its thread exists
    std::condition_variable wake;      // of its thread, when there is work or an end
    bool destroyed = false;
    driver::CaptureRef capture;        // null: not capturing
    std::vector<int> frontier;         // nodes that the next captured work depends on

    bool blocking() const { return (flags & STREAM_NON_BLOCKING) == 0; }
};

namespace driver {

// The stream of a handle; null if there is none. The handles 0, 1 and 2 are the legacy default stream.
CUstream stream_of(CUstream handle);
CUstream legacy_stream();

// Appends work that is done, or captured, in stream order. `type` is what a node of a graph would be.
CUresult enqueue(CUstream stream, NodeType type, Task task);

// Appends a place. Not for capturing streams.
MarkerRef place(CUstream stream);

// Waits for what has been enqueued.
CUresult wait_for(Lock& held, CUstream stream);
CUresult wait_for_all(Lock& held);

// Whether everything is done.
bool idle(CUstream stream);

// The errors of capture that a call on this stream meets; SUCCESS if it may enqueue.
CUresult check_capture(CUstream stream);

size_t live_streams();
size_t destroy_streams(Lock& held);

}  // namespace driver
