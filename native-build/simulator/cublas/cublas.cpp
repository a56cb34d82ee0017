// A stand-in for libcublas.so.12: what megabyte4j calls through JCublas, computing on the simulated device. The other
// functions that JCublas's library refers to are generated from cublas_names.txt, and not supported.
#include "cublas_values.h"
#include "device.h"
#include "product.h"

#ifndef CUBLAS_VERSION
#error "CUBLAS_VERSION says what cublasGetVersion answers"
#endif

namespace {

constexpr uint64_t aliveHandle = 0x6375626c61730000;
constexpr int32_t gemmDefault = -1;  // CUBLAS_GEMM_DEFAULT

struct Handle {
    uint64_t magic = aliveHandle;
    device::Stream stream = nullptr;
    void *workspace = nullptr;
    size_t workspaceBytes = 0;
    int32_t pointerMode = CUBLAS_POINTER_MODE_HOST;
    int32_t mathMode = CUBLAS_DEFAULT_MATH;
    int32_t atomicsMode = CUBLAS_ATOMICS_NOT_ALLOWED;
};

bool usable(const Handle *handle) {
    return handle != nullptr && handle->magic == aliveHandle;
}

bool isType(int32_t type) {
    return type == CUDA_R_32F || type == CUDA_R_16BF;
}

product::Type typeOf(int32_t type) {
    return type == CUDA_R_32F ? product::Type::f32 : product::Type::bf16;
}

bool aligned(const void *pointer, size_t alignment) {
    return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

}  // namespace

CUBLAS_API const char *cublasGetStatusName(cublasStatus_t status) {
    return device::statusName(status);
}

CUBLAS_API const char *cublasGetStatusString(cublasStatus_t status) {
    return device::statusText(status);
}

CUBLAS_API cublasStatus_t cublasCreate_v2(Handle **handle) {
    CUBLAS_ENTER("cublasCreate_v2");
    if (handle == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!device::hasContext()) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *handle = new Handle;
    device::created();
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasDestroy_v2(Handle *handle) {
    CUBLAS_ENTER("cublasDestroy_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->magic = 0;
    delete handle;
    device::destroyed();
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasGetVersion_v2(Handle *handle, int *version) {
    CUBLAS_ENTER("cublasGetVersion_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (version == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

// A new stream takes the workspace away, as in the library.
CUBLAS_API cublasStatus_t cublasSetStream_v2(Handle *handle, device::Stream stream) {
    CUBLAS_ENTER("cublasSetStream_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->stream = stream;
    handle->workspace = nullptr;
    handle->workspaceBytes = 0;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasSetWorkspace_v2(Handle *handle, void *workspace, size_t bytes) {
    CUBLAS_ENTER("cublasSetWorkspace_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (!aligned(workspace, 256)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    handle->workspace = workspace;
    handle->workspaceBytes = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasSetPointerMode_v2(Handle *handle, int32_t mode) {
    CUBLAS_ENTER("cublasSetPointerMode_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->pointerMode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasGetPointerMode_v2(Handle *handle, int32_t *mode) {
    CUBLAS_ENTER("cublasGetPointerMode_v2");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *mode = handle->pointerMode;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasSetMathMode(Handle *handle, int32_t mode) {
    CUBLAS_ENTER("cublasSetMathMode");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->mathMode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasGetMathMode(Handle *handle, int32_t *mode) {
    CUBLAS_ENTER("cublasGetMathMode");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *mode = handle->mathMode;
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasSetAtomicsMode(Handle *handle, int32_t mode) {
    CUBLAS_ENTER("cublasSetAtomicsMode");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->atomicsMode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

// Refuses what this project must not ask for (TF32, atomics, no workspace of its own), so that tests see it.
CUBLAS_API cublasStatus_t cublasGemmEx(Handle *handle, int32_t transposeA, int32_t transposeB, int m, int n, int k,
                                       const float *alpha, const void *a, int32_t aType, int lda, const void *b,
                                       int32_t bType, int ldb, const float *beta, void *c, int32_t cType, int ldc,
                                       int32_t computeType, int32_t algorithm) {
    CUBLAS_ENTER("cublasGemmEx");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    const int aRows = transposeA == CUBLAS_OP_N ? m : k;
    const int bRows = transposeB == CUBLAS_OP_N ? k : n;
    if (m < 0 || n < 0 || k < 0 || lda < aRows || ldb < bRows || ldc < m || alpha == nullptr || beta == nullptr ||
        a == nullptr || b == nullptr || c == nullptr || !isType(aType) || !isType(bType) || !isType(cType)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!aligned(a, bytesOf(typeOf(aType))) || !aligned(b, bytesOf(typeOf(bType))) ||
        !aligned(c, bytesOf(typeOf(cType)))) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const bool reducedPrecision = handle->mathMode != CUBLAS_DEFAULT_MATH && handle->mathMode != CUBLAS_PEDANTIC_MATH &&
                                  handle->mathMode != CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    if (aType != bType || (aType == CUDA_R_32F && cType != CUDA_R_32F) || computeType != CUBLAS_COMPUTE_32F ||
        algorithm != gemmDefault || handle->pointerMode != CUBLAS_POINTER_MODE_HOST || reducedPrecision ||
        handle->atomicsMode != CUBLAS_ATOMICS_NOT_ALLOWED || handle->workspace == nullptr) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    product::Product work = {};
    work.m = m;
    work.n = n;
    work.k = k;
    work.transposeA = transposeA == CUBLAS_OP_T;
    work.transposeB = transposeB == CUBLAS_OP_T;
    work.alpha = *alpha;
    work.beta = *beta;
    work.a = {a, typeOf(aType), lda};
    work.b = {b, typeOf(bType), ldb};
    work.c = {c, typeOf(cType), ldc};
    work.d = c;
    work.dType = typeOf(cType);
    work.dLeadingDimension = ldc;
    work.kBlock = 96;
    return device::enqueue(handle->stream, work);
}
