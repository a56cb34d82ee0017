// Events: places in the work of a stream, or, recorded while it captures, in the graph.

#include <algorithm>
#include <set>

#include "capture.h"
#include "graph.h"
#include "objects.h"
#include "stream.h"

struct CUevent_st {
    unsigned flags = 0;
    driver::MarkerRef marker;          // null: never recorded
    driver::CaptureRef capture;        // null: last recorded in a stream that did not capture
    std::vector<int> frontier;
};

namespace driver {
namespace {

std::set<CUevent>& events() {
    static auto* events = new std::set<CUevent>();
    return *events;
}

bool exists(CUevent event) { return events().count(event) > 0; }

CUresult record(CUevent event, CUstream handle) {
    CUstream stream = stream_of(handle);
    if (stream == nullptr || !exists(event)) return INVALID_HANDLE;
    CUresult refused = check_capture(stream);
    if (refused != SUCCESS) return refused;
    if (stream->capture != nullptr) {
        event->capture = stream->capture;
        event->frontier = stream->frontier;
        event->marker = nullptr;
    } else {
        event->capture = nullptr;
        event->frontier.clear();
        event->marker = place(stream);
    }
    return SUCCESS;
}

// Of a captured event nobody can say whether it has happened.
CUresult check_not_captured(CUevent event) {
    if (event->capture == nullptr) return SUCCESS;
    if (!event->capture->ended) invalidate(*event->capture);
    return CAPTURED_EVENT;
}

CUresult wait_event(CUstream stream, CUevent event) {
    CUresult refused = check_capture(stream);
    if (refused != SUCCESS) return refused;
    if (event->capture == nullptr) {
        if (stream->capture != nullptr) {
            if (event->marker == nullptr) return SUCCESS;
            invalidate(*stream->capture);
            return STREAM_CAPTURE_ISOLATION;
        }
        if (event->marker != nullptr && !event->marker->done) stream->awaited.push_back(event->marker);
        return SUCCESS;
    }
    if (event->capture->ended) return CAPTURED_EVENT;
    if (event->capture->invalidated) return STREAM_CAPTURE_INVALIDATED;
    if (stream == legacy_stream()) {
        invalidate(*event->capture);
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    if (stream->capture != nullptr && stream->capture != event->capture) {
        invalidate(*stream->capture);
        invalidate(*event->capture);
        return STREAM_CAPTURE_MERGE;
    }
    join_capture(stream, event->capture, event->frontier);
    return SUCCESS;
}

CUresult elapsed(float* milliseconds, CUevent start, CUevent end) {
    if (milliseconds == nullptr) return INVALID_VALUE;
    if (!exists(start) || !exists(end)) return INVALID_HANDLE;
    for (CUevent event : {start, end}) {
        CUresult refused = check_not_captured(event);
        if (refused != SUCCESS) return refused;
        if ((event->flags & EVENT_DISABLE_TIMING) != 0 || event->marker == nullptr) return INVALID_HANDLE;
    }
    if (!start->marker->done || !end->marker->done) return NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(end->marker->when - start->marker->when).count();
    return SUCCESS;
}

}  // namespace

size_t live_events() { return events().size(); }

size_t destroy_events() {
    size_t count = events().size();
    for (CUevent event : events()) delete event;
    events().clear();
    return count;
}

}  // namespace driver

using namespace driver;

API CUresult cuEventCreate(CUevent* result, unsigned flags) {
    return enter("cuEventCreate", [&](Lock&) {
        if (result == nullptr || flags > 7) return INVALID_VALUE;
        if ((flags & EVENT_INTERPROCESS) != 0) return NOT_SUPPORTED;
        auto event = new CUevent_st();
        event->flags = flags;
        events().insert(event);
        *result = event;
        return SUCCESS;
    });
}

API CUresult cuEventDestroy_v2(CUevent event) {
    return enter("cuEventDestroy", [&](Lock&) {
        if (!exists(event)) return INVALID_HANDLE;
        events().erase(event);
        delete event;
        return SUCCESS;
    });
}

API CUresult cuEventRecord(CUevent event, CUstream stream) {
    return enter("cuEventRecord", [&](Lock&) { return record(event, stream); });
}

API CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags) {
    return enter("cuEventRecordWithFlags", [&](Lock&) { return flags != 0 ? NOT_SUPPORTED : record(event, stream); });
}

API CUresult cuEventQuery(CUevent event) {
    return enter("cuEventQuery", [&](Lock&) {
        if (!exists(event)) return INVALID_HANDLE;
        CUresult refused = check_not_captured(event);
        if (refused == SUCCESS) refused = check_unsafe_call();
        if (refused != SUCCESS) return refused;
        return event->marker == nullptr || event->marker->done ? SUCCESS : NOT_READY;
    });
}

API CUresult cuEventSynchronize(CUevent event) {
    return enter("cuEventSynchronize", [&](Lock& held) {
        if (!exists(event)) return INVALID_HANDLE;
        CUresult refused = check_not_captured(event);
        if (refused == SUCCESS) refused = check_unsafe_call();
        if (refused != SUCCESS) return refused;
        MarkerRef marker = event->marker;
        return state().wait(held, [&] { return marker == nullptr || marker->done; });
    });
}

API CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
    return enter("cuEventElapsedTime", [&](Lock&) { return elapsed(milliseconds, start, end); });
}

API CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
    return enter("cuEventElapsedTime", [&](Lock&) { return elapsed(milliseconds, start, end); });
}

API CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    return enter("cuStreamWaitEvent", [&](Lock&) {
        CUstream stream = stream_of(handle);
        if (stream == nullptr || !exists(event)) return INVALID_HANDLE;
        return wait_event(stream, event);
    });
}
