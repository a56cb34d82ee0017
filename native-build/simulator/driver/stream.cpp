#include "stream.h"

#include <algorithm>
#include <set>

#include "../emulation/thread_state.h"
#include "memory.h"
#include "objects.h"

namespace driver {
namespace {

struct Streams {
    std::set<CUstream> live;        // without the legacy one
    std::set<CUstream> draining;    // destroyed, but with work left
    CUstream legacy = nullptr;
    unsigned long long next_id = 1;
};

Streams& streams() {
    static auto* streams = new Streams();
    return *streams;
}

bool all_done(const std::vector<MarkerRef>& markers) {
    return std::all_of(markers.begin(), markers.end(), [](const MarkerRef& m) { return m->done; });
}

// The stream's thread: runs the queue in order. After a fault, work is dropped.
void work(CUstream stream) {
    Lock held(state().lock);
    for (;;) {
        stream->wake.wait(held, [&] { return !stream->queue.empty() || stream->destroyed; });
        if (stream->queue.empty()) break;
        Work& first = stream->queue.front();
        CUctx_st& context = state().context;
        state().progress.wait(held, [&] { return context.fault != SUCCESS || all_done(first.after); });
        if (context.fault == SUCCESS && first.task) {
            held.unlock();
            CUresult result = first.task();
            held.lock();
            if (result != SUCCESS && context.fault == SUCCESS) context.fault = result;
        }
        Work done = std::move(stream->queue.front());
        done.marker->when = std::chrono::steady_clock::now();
        done.marker->done = true;
        stream->queue.pop_front();
        held.unlock();
        done = {};    // what the task holds may take its time to go
        held.lock();
        state().progress.notify_all();
    }
    streams().draining.erase(stream);
    held.unlock();
    delete stream;
    emulation::end_thread();
}

MarkerRef append(CUstream stream, Task task) {
    Work added;
    added.task = std::move(task);
    added.after = std::move(stream->awaited);
    stream->awaited.clear();
    if (stream == streams().legacy) {
        for (const auto* set : {&streams().live, &streams().draining}) {
            for (CUstream other : *set) {
                if (other->blocking() && other->last != nullptr) added.after.push_back(other->last);
            }
        }
    } else if (stream->blocking() && streams().legacy != nullptr && streams().legacy->last != nullptr) {
        added.after.push_back(streams().legacy->last);
    }
    auto done = [](const MarkerRef& m) { return m->done; };
    added.after.erase(std::remove_if(added.after.begin(), added.after.end(), done), added.after.end());
    added.marker = std::make_shared<Marker>();
    stream->last = added.marker;
    MarkerRef marker = added.marker;
    stream->queue.push_back(std::move(added));
    if (!stream->worker) {
        stream->worker = true;
        std::thread(work, stream).detach();
    }
    stream->wake.notify_one();
    return marker;
}

void destroy(CUstream stream) {
    abandon_capture(stream);
    streams().live.erase(stream);
    stream->destroyed = true;
    if (stream->worker) {
        streams().draining.insert(stream);
        stream->wake.notify_one();    // its thread finishes the work and deletes it
    } else {
        delete stream;
    }
}

// The ends of all streams' work.
std::vector<MarkerRef> all_last() {
    Streams& s = streams();
    std::vector<MarkerRef> last;
    for (const auto* set : {&s.live, &s.draining}) {
        for (CUstream stream : *set) {
            if (stream->last != nullptr) last.push_back(stream->last);
        }
    }
    if (s.legacy != nullptr && s.legacy->last != nullptr) last.push_back(s.legacy->last);
    return last;
}

CUresult create(CUstream* result, unsigned flags, int priority) {
    if (result == nullptr || (flags & ~STREAM_NON_BLOCKING) != 0) return INVALID_VALUE;
    auto stream = new CUstream_st();
    stream->flags = flags;
    stream->priority = std::min(0, std::max(GREATEST_PRIORITY, priority));
    stream->id = streams().next_id++;
    streams().live.insert(stream);
    *result = stream;
    return SUCCESS;
}

}  // namespace

CUstream legacy_stream() {
    Streams& s = streams();
    if (s.legacy == nullptr) s.legacy = new CUstream_st();
    return s.legacy;
}

CUstream stream_of(CUstream handle) {
    if (handle == nullptr || handle == LEGACY_STREAM || handle == PER_THREAD_STREAM) return legacy_stream();
    return streams().live.count(handle) > 0 ? handle : nullptr;
}

CUresult check_capture(CUstream stream) {
    if (stream == streams().legacy) return check_legacy_use();
    return stream->capture != nullptr && stream->capture->invalidated ? STREAM_CAPTURE_INVALIDATED : SUCCESS;
}

CUresult enqueue(CUstream stream, NodeType type, Task task) {
    CUresult refused = check_capture(stream);
    if (refused != SUCCESS) return refused;
    if (stream->capture != nullptr) {
        capture_node(stream, type, std::move(task));
    } else {
        append(stream, std::move(task));
    }
    return SUCCESS;
}

MarkerRef place(CUstream stream) { return append(stream, nullptr); }

bool idle(CUstream stream) { return stream->last == nullptr || stream->last->done; }

CUresult wait_for(Lock& held, CUstream stream) {
    MarkerRef last = stream->last;
    return state().wait(held, [&] { return last == nullptr || last->done; });
}

CUresult wait_for_all(Lock& held) {
    std::vector<MarkerRef> last = all_last();
    return state().wait(held, [&] { return all_done(last); });
}

size_t live_streams() { return streams().live.size(); }

size_t destroy_streams(Lock& held) {
    forget_captures();
    Streams& s = streams();
    std::vector<MarkerRef> last = all_last();
    state().progress.wait(held, [&] { return all_done(last); });    // a fault drops work, so this ends
    size_t count = s.live.size();
    while (!s.live.empty()) destroy(*s.live.begin());
    if (s.legacy != nullptr) {
        CUstream legacy = s.legacy;
        s.legacy = nullptr;
        destroy(legacy);
    }
    return count;
}

}  // namespace driver

using namespace driver;

API CUresult cuStreamCreate(CUstream* result, unsigned flags) {
    return enter("cuStreamCreate", [&](Lock&) { return create(result, flags, 0); });
}

API CUresult cuStreamCreateWithPriority(CUstream* result, unsigned flags, int priority) {
    return enter("cuStreamCreateWithPriority", [&](Lock&) { return create(result, flags, priority); });
}

API CUresult cuStreamDestroy_v2(CUstream handle) {
    return enter("cuStreamDestroy", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr || stream == legacy_stream()) return INVALID_HANDLE;
        destroy(stream);
        return SUCCESS;
    });
}

API CUresult cuStreamQuery(CUstream handle) {
    return enter("cuStreamQuery", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        CUresult refused = check_capture(stream);
        if (refused != SUCCESS) return refused;
        if (stream->capture != nullptr) {
            invalidate(*stream->capture);
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        return idle(stream) ? SUCCESS : NOT_READY;
    });
}

API CUresult cuStreamSynchronize(CUstream handle) {
    return enter("cuStreamSynchronize", [&](Lock& held) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        CUresult refused = check_capture(stream);
        if (refused != SUCCESS) return refused;
        if (stream->capture != nullptr) {
            invalidate(*stream->capture);
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        return wait_for(held, stream);
    });
}

API CUresult cuStreamGetFlags(CUstream handle, unsigned* flags) {
    return enter("cuStreamGetFlags", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (flags == nullptr) return INVALID_VALUE;
        *flags = stream->flags;
        return SUCCESS;
    });
}

API CUresult cuStreamGetPriority(CUstream handle, int* priority) {
    return enter("cuStreamGetPriority", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (priority == nullptr) return INVALID_VALUE;
        *priority = stream->priority;
        return SUCCESS;
    });
}

API CUresult cuStreamGetId(CUstream handle, unsigned long long* id) {
    return enter("cuStreamGetId", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (id == nullptr) return INVALID_VALUE;
        *id = stream->id;
        return SUCCESS;
    });
}

API CUresult cuStreamGetCtx(CUstream handle, CUcontext* context) {
    return enter("cuStreamGetCtx", [&](Lock&) {
        if (stream_of(handle) == nullptr) return INVALID_HANDLE;
        if (context == nullptr) return INVALID_VALUE;
        *context = &state().context;
        return SUCCESS;
    });
}

API CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
    return enter("cuLaunchHostFunc", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (function == nullptr) return INVALID_VALUE;
        return enqueue(stream, NODE_HOST, [=] {
            function(data);
            return SUCCESS;
        });
    });
}

API CUresult cuStreamAddCallback(CUstream handle, void (*callback)(CUstream, CUresult, void*), void* data, unsigned) {
    return enter("cuStreamAddCallback", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (callback == nullptr) return INVALID_VALUE;
        if (stream->capture != nullptr) {
            invalidate(*stream->capture);
            return STREAM_CAPTURE_UNSUPPORTED;
        }
        return enqueue(stream, NODE_HOST, [=] {
            callback(handle, SUCCESS, data);
            return SUCCESS;
        });
    });
}

// For the stand-ins of cuBLAS: host code that is work of a stream, or a node of the graph that is being captured.
// `release` gets `data` when it will not be needed any more, also after an error. Not a CUDA function.
API CUresult simulatorEnqueue(CUstream handle, void (*function)(void* data), void* data, void (*release)(void* data)) {
    std::shared_ptr<void> owned(data, [release](void* d) {
        if (release != nullptr) release(d);
    });
    return enter("simulatorEnqueue", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        return enqueue(stream, NODE_KERNEL, [function, owned] {
            if (computes()) function(owned.get());
            return SUCCESS;
        });
    });
}
