// Graphs that capture has made. All functions are called with the driver's lock held.

#pragma once

#include "capture.h"

namespace driver {

CUgraph make_graph(Nodes nodes);

// The stream takes part in the capture, behind the given nodes.
void join_capture(CUstream stream, const CaptureRef& capture, const std::vector<int>& after);

// For calls that wait for the whole device: an error during any capture.
CUresult check_no_capture();

}  // namespace driver
