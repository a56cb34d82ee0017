// Stream capture: work goes into a graph instead of a queue. All functions are called with the driver's lock held.

#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "api.h"

struct CUgraphNode_st {
    NodeType type;
    std::function<CUresult()> task;
    std::vector<int> after;    // indices of nodes of the same graph, all smaller than its own
};

namespace driver {

using Nodes = std::vector<std::shared_ptr<CUgraphNode_st>>;

struct Capture {
    unsigned long long id;
    CUstream origin;
    CaptureMode mode;
    std::thread::id thread;
    bool invalidated = false;
    bool ended = false;
    Nodes nodes;
};
using CaptureRef = std::shared_ptr<Capture>;

// Makes a node after the stream's frontier, which then is that node.
void capture_node(CUstream stream, NodeType type, std::function<CUresult()> task);

void invalidate(Capture& capture);

// For calls that wait or allocate, or could: an error, and the end of the capture, where one forbids them to this
// thread.
CUresult check_unsafe_call();

// For the legacy default stream, and for blocking streams a dependence on it.
CUresult check_legacy_use();

// The stream leaves capture, as when it is destroyed.
void abandon_capture(CUstream stream);

void forget_captures();

}  // namespace driver
