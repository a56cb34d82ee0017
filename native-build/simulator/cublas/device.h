// What the stand-ins of cuBLAS need of the simulated device, whose libcuda.so.1 is in the process already.
#pragma once

#include "cublas_values.h"
#include "product.h"

namespace device {

using Stream = void *;  // CUstream

// Whether a context is current on this thread, as libraries above the driver need it.
bool hasContext();

// Counts the call, and says the failure that a test has asked for.
cublasStatus_t enter(const char *function);

// Computes the product when the stream comes to it, or notes it in the graph that is being captured.
cublasStatus_t enqueue(Stream stream, const product::Product &product);

// A handle or descriptor came into being or went; a test counts those that are left.
void created();
void destroyed();

const char *statusName(cublasStatus_t status);
const char *statusText(cublasStatus_t status);

}  // namespace device

#define CUBLAS_ENTER(function)                                                                      \
    if (const cublasStatus_t injected = device::enter(function); injected != CUBLAS_STATUS_SUCCESS) \
    return injected
