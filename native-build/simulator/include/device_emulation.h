// What g++ needs to compile kernels/*.cu for the host: the part of CUDA C++ that they use. See docs/simulator.md.
//
// A block's threads are fibers on one operating-system thread (emulation/thread.h); warp-wide operations and barriers
// are calls into the runtime, which lies in libcuda.so.1 or is linked into a program of its own.

#pragma once

#ifdef __CUDACC__
#error "device_emulation.h is for the host compiler; include common/platform.cuh"
#endif

#include "emulation/vector_types.h"

#include "emulation/thread.h"

#include "emulation/intrinsics.h"

#include "emulation/warp.h"

#include "emulation/launch.h"
