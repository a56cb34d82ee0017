#include "device.h"

// Of the simulated libcuda.so.1.
extern "C" {
int cuCtxGetCurrent(void **context);
int simulatorEnqueue(void *stream, void (*run)(void *data), void *data, void (*release)(void *data));
int simulatorEnter(const char *entry);
int simulatorIsDeviceMemory(unsigned long long address, size_t bytes);
void simulatorCountObjects(long change);
}

namespace device {
namespace {

struct StatusWords {
    cublasStatus_t status;
    const char *name;
    const char *text;
};
constexpr StatusWords words[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "not initialised"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "no memory"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an argument is not possible"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "not on this device"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "no access to memory"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "not launched"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an error of the library"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "no licence"},
};

void computeCopy(void *copy) {
    product::compute(*static_cast<product::Product *>(copy));
}

void releaseCopy(void *copy) {
    delete static_cast<product::Product *>(copy);
}

// Whether columns of so many elements, as far apart as the leading dimension says, lie in the device's memory.
bool isDeviceMemory(const void *data, product::Type type, int64_t rows, int64_t columns, int64_t leadingDimension) {
    const int64_t elements = (columns - 1) * leadingDimension + rows;
    return simulatorIsDeviceMemory(reinterpret_cast<uintptr_t>(data), elements * product::bytesOf(type)) != 0;
}

bool reachesOnlyDeviceMemory(const product::Product &x) {
    return isDeviceMemory(x.a.data, x.a.type, x.transposeA ? x.k : x.m, x.transposeA ? x.m : x.k,
                          x.a.leadingDimension) &&
           isDeviceMemory(x.b.data, x.b.type, x.transposeB ? x.n : x.k, x.transposeB ? x.k : x.n,
                          x.b.leadingDimension) &&
           (x.beta == 0 || isDeviceMemory(x.c.data, x.c.type, x.m, x.n, x.c.leadingDimension)) &&
           isDeviceMemory(x.d, x.dType, x.m, x.n, x.dLeadingDimension) &&
           (x.bias == nullptr || isDeviceMemory(x.bias, x.dType, x.m, 1, x.m)) &&
           (x.partials == nullptr || isDeviceMemory(x.partials, product::Type::f32, 2 * x.m * x.n, 1, 2 * x.m * x.n));
}

}  // namespace

bool hasContext() {
    void *context = nullptr;
    return cuCtxGetCurrent(&context) == 0 && context != nullptr;
}

cublasStatus_t enter(const char *function) {
    return static_cast<cublasStatus_t>(simulatorEnter(function));
}

cublasStatus_t enqueue(Stream stream, const product::Product &product) {
    // NVIDIA's library would launch it, and the context would be broken once it runs; this is easier to find.
    if (!reachesOnlyDeviceMemory(product)) {
        return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    const int status = simulatorEnqueue(stream, computeCopy, new product::Product(product), releaseCopy);
    return status == 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

void created() {
    simulatorCountObjects(1);
}

void destroyed() {
    simulatorCountObjects(-1);
}

const char *statusName(cublasStatus_t status) {
    for (const StatusWords &known : words) {
        if (known.status == status) {
            return known.name;
        }
    }
    return "unrecognized status";
}

const char *statusText(cublasStatus_t status) {
    for (const StatusWords &known : words) {
        if (known.status == status) {
            return known.text;
        }
    }
    return "unrecognized status";
}

}  // namespace device
