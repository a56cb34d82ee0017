#include "capture.h"

#include <algorithm>
#include <set>

#include "graph.h"
#include "state.h"
#include "stream.h"

namespace driver {
namespace {

struct Captures {
    std::set<CaptureRef> running;      // not ended, whether invalidated or not
    std::set<CUstream> streams;        // that take part in one
    unsigned long long next_id = 1;
};

Captures& captures() {
    static auto* captures = new Captures();
    return *captures;
}

// What this thread has said of its own calls by cuThreadExchangeStreamCaptureMode.
thread_local CaptureMode mode_of_thread = CAPTURE_GLOBAL;

void leave(CUstream stream) {
    stream->capture = nullptr;
    stream->frontier.clear();
    captures().streams.erase(stream);
}

void finish(const CaptureRef& capture) {
    capture->ended = true;
    captures().running.erase(capture);
    auto streams = captures().streams;
    for (CUstream stream : streams) {
        if (stream->capture == capture) leave(stream);
    }
}

// Whether all work of the capture comes before the origin's frontier.
bool joined(const Capture& capture) {
    std::vector<bool> before(capture.nodes.size(), false);
    for (int node : capture.origin->frontier) before[static_cast<size_t>(node)] = true;
    for (size_t i = capture.nodes.size(); i-- > 0;) {
        if (!before[i]) return false;
        for (int node : capture.nodes[i]->after) before[static_cast<size_t>(node)] = true;
    }
    return true;
}

}  // namespace

void join_capture(CUstream stream, const CaptureRef& capture, const std::vector<int>& after) {
    stream->capture = capture;
    captures().streams.insert(stream);
    for (int node : after) {
        if (std::find(stream->frontier.begin(), stream->frontier.end(), node) == stream->frontier.end()) {
            stream->frontier.push_back(node);
        }
    }
}

void capture_node(CUstream stream, NodeType type, std::function<CUresult()> task) {
    Nodes& nodes = stream->capture->nodes;
    nodes.push_back(std::make_shared<CUgraphNode_st>(CUgraphNode_st{type, std::move(task), stream->frontier}));
    stream->frontier = {static_cast<int>(nodes.size()) - 1};
}

void invalidate(Capture& capture) { capture.invalidated = true; }

CUresult check_unsafe_call() {
    if (mode_of_thread == CAPTURE_RELAXED) return SUCCESS;
    CUresult result = SUCCESS;
    for (const CaptureRef& capture : captures().running) {
        bool mine = capture->thread == std::this_thread::get_id() && capture->mode != CAPTURE_RELAXED;
        bool anyones = capture->mode == CAPTURE_GLOBAL && mode_of_thread == CAPTURE_GLOBAL;
        if (mine || anyones) {
            invalidate(*capture);
            result = STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    return result;
}

CUresult check_no_capture() {
    for (const CaptureRef& capture : captures().running) invalidate(*capture);
    return captures().running.empty() ? SUCCESS : STREAM_CAPTURE_UNSUPPORTED;
}

CUresult check_legacy_use() {
    CUresult result = SUCCESS;
    for (CUstream stream : captures().streams) {
        if (!stream->blocking()) continue;
        invalidate(*stream->capture);
        result = STREAM_CAPTURE_IMPLICIT;
    }
    return result;
}

void abandon_capture(CUstream stream) {
    if (stream->capture == nullptr) return;
    invalidate(*stream->capture);
    if (stream->capture->origin == stream) {
        finish(CaptureRef(stream->capture));
    } else {
        leave(stream);
    }
}

void forget_captures() {
    auto running = captures().running;
    for (const CaptureRef& capture : running) finish(capture);
}

}  // namespace driver

using namespace driver;

API CUresult cuStreamBeginCapture_v2(CUstream handle, CaptureMode mode) {
    return enter("cuStreamBeginCapture", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (mode < CAPTURE_GLOBAL || mode > CAPTURE_RELAXED) return INVALID_VALUE;
        if (stream == legacy_stream()) return STREAM_CAPTURE_UNSUPPORTED;
        if (stream->capture != nullptr) return ILLEGAL_STATE;
        auto capture = std::make_shared<Capture>();
        capture->id = captures().next_id++;
        capture->origin = stream;
        capture->mode = mode;
        capture->thread = std::this_thread::get_id();
        captures().running.insert(capture);
        stream->frontier.clear();
        join_capture(stream, capture, {});
        return SUCCESS;
    });
}

API CUresult cuStreamEndCapture(CUstream handle, CUgraph* result) {
    return enter("cuStreamEndCapture", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (result == nullptr) return INVALID_VALUE;
        *result = nullptr;
        CaptureRef capture = stream->capture;
        if (capture == nullptr) return ILLEGAL_STATE;
        if (capture->origin != stream) {
            invalidate(*capture);
            return STREAM_CAPTURE_UNMATCHED;
        }
        if (capture->mode != CAPTURE_RELAXED && capture->thread != std::this_thread::get_id()) {
            return STREAM_CAPTURE_WRONG_THREAD;
        }
        CUresult failure = capture->invalidated ? STREAM_CAPTURE_INVALIDATED
                           : joined(*capture)   ? SUCCESS
                                                : STREAM_CAPTURE_UNJOINED;
        finish(capture);
        if (failure == SUCCESS) *result = make_graph(std::move(capture->nodes));
        return failure;
    });
}

API CUresult cuStreamIsCapturing(CUstream handle, CaptureStatus* status) {
    return enter("cuStreamIsCapturing", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (status == nullptr) return INVALID_VALUE;
        if (stream == legacy_stream()) {
            *status = CAPTURE_NONE;
            return check_legacy_use();
        }
        *status = stream->capture == nullptr          ? CAPTURE_NONE
                  : stream->capture->invalidated ? CAPTURE_INVALIDATED
                                                 : CAPTURE_ACTIVE;
        return SUCCESS;
    });
}

API CUresult cuStreamGetCaptureInfo_v2(CUstream handle, CaptureStatus* status, unsigned long long* id, CUgraph* graph,
                                       const CUgraphNode** after, size_t* count) {
    return enter("cuStreamGetCaptureInfo", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr) return INVALID_HANDLE;
        if (status == nullptr) return INVALID_VALUE;
        bool captures_now = stream->capture != nullptr;
        *status = !captures_now                   ? CAPTURE_NONE
                  : stream->capture->invalidated ? CAPTURE_INVALIDATED
                                                 : CAPTURE_ACTIVE;
        if (id != nullptr && captures_now) *id = stream->capture->id;
        if (graph != nullptr) *graph = nullptr;    // graphs under construction have no handle here
        if (after != nullptr) *after = nullptr;
        if (count != nullptr) *count = stream->frontier.size();
        return SUCCESS;
    });
}

API CUresult cuThreadExchangeStreamCaptureMode(CaptureMode* mode) {
    return enter("cuThreadExchangeStreamCaptureMode", [&](Lock&) {
        if (mode == nullptr || *mode < CAPTURE_GLOBAL || *mode > CAPTURE_RELAXED) return INVALID_VALUE;
        std::swap(*mode, mode_of_thread);
        return SUCCESS;
    });
}
