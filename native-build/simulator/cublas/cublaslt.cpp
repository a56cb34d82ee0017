// A stand-in for libcublasLt: the entry points that megabyte4j uses, computing on the simulated device.
//
// As strict as the library where that finds mistakes (sizes of attributes, alignment of what an algorithm reads,
// layouts that do not fit each other, workspace), and with its status codes. Four algorithms, in the order in which the
// heuristics offer them:
//   id 66  needs 16-byte aligned matrices and columns
//   id 21  works everywhere
//   id 22  sums over k in two halves, through the workspace (reduction scheme COMPUTE_TYPE)
//   id 0   splits the sum and reduces it in place: its bits would not be the same each time, so it refuses to run
#include <algorithm>
#include <cstring>
#include <new>

#include "cublas_values.h"
#include "device.h"
#include "product.h"

#ifndef CUBLAS_VERSION
#error "CUBLAS_VERSION says what cublasLtGetVersion answers"
#endif

namespace {

struct Handle {
    uint64_t magic;
};
struct Layout {
    int32_t type;
    uint64_t rows, columns;
    int64_t leadingDimension;
};
struct Description {
    int32_t computeType, scaleType;
    int32_t pointerMode = CUBLAS_POINTER_MODE_HOST;
    int32_t transposeA = CUBLAS_OP_N, transposeB = CUBLAS_OP_N;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    int32_t biasType = -1;  // that of D
};
struct Preference {
    uint32_t searchMode = 0;
    uint64_t workspaceBytes = 0;
    uint32_t reductionSchemes = CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t alignmentA = 256, alignmentB = 256, alignmentC = 256, alignmentD = 256;
    uint64_t implementations = ~uint64_t(0);
};

constexpr uint64_t aliveHandle = 0x6375626c61734c74;

// What cublasLtMatmulAlgo_t holds here.
constexpr uint64_t algorithmMark = 0x616c676f00000000;

struct Algorithm {
    int32_t id;
    int64_t kBlock;
    size_t alignment;  // of matrices and their columns
    uint32_t reductionScheme;
};
constexpr Algorithm algorithms[] = {
    {66, 256, 16, CUBLASLT_REDUCTION_SCHEME_NONE},
    {21, 64, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
    {22, 128, 1, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE},
    {0, 64, 1, CUBLASLT_REDUCTION_SCHEME_INPLACE},
};

const Algorithm *algorithmOf(const cublasLtMatmulAlgo_t *algo) {
    for (const Algorithm &algorithm : algorithms) {
        if (algo != nullptr && algo->data[0] == (algorithmMark | static_cast<uint32_t>(algorithm.id))) {
            return &algorithm;
        }
    }
    return nullptr;
}

size_t workspaceOf(const Algorithm &algorithm, const Layout &d) {
    return algorithm.reductionScheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
               ? 2 * d.rows * d.columns * sizeof(float)
               : 0;
}

bool usable(const Handle *handle) {
    return handle != nullptr && handle->magic == aliveHandle;
}

size_t elementBytes(const Layout &layout) {
    return layout.type == CUDA_R_32F ? 4 : 2;
}

product::Type typeOf(int32_t type) {
    return type == CUDA_R_32F ? product::Type::f32 : product::Type::bf16;
}

// Whether the four layouts describe one product that this library knows.
cublasStatus_t checkProduct(const Description &x, const Layout &a, const Layout &b, const Layout &c, const Layout &d) {
    for (const Layout *layout : {&a, &b, &c, &d}) {
        if (layout->rows == 0 || layout->columns == 0 ||
            layout->leadingDimension < static_cast<int64_t>(layout->rows)) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if (layout->rows > INT32_MAX || layout->columns > INT32_MAX) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
    }
    const uint64_t m = x.transposeA == CUBLAS_OP_N ? a.rows : a.columns;
    const uint64_t kOfA = x.transposeA == CUBLAS_OP_N ? a.columns : a.rows;
    const uint64_t kOfB = x.transposeB == CUBLAS_OP_N ? b.rows : b.columns;
    const uint64_t n = x.transposeB == CUBLAS_OP_N ? b.columns : b.rows;
    if (m != d.rows || n != d.columns || kOfA != kOfB || c.rows != d.rows || c.columns != d.columns) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const bool single = a.type == CUDA_R_32F && d.type == CUDA_R_32F;
    const bool half = a.type == CUDA_R_16BF && (d.type == CUDA_R_16BF || d.type == CUDA_R_32F);
    if ((!single && !half) || a.type != b.type || c.type != d.type) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (x.computeType != CUBLAS_COMPUTE_32F || x.scaleType != CUDA_R_32F || x.pointerMode != CUBLAS_POINTER_MODE_HOST ||
        (x.transposeA != CUBLAS_OP_N && x.transposeA != CUBLAS_OP_T) ||
        (x.transposeB != CUBLAS_OP_N && x.transposeB != CUBLAS_OP_T)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (x.epilogue != CUBLASLT_EPILOGUE_DEFAULT && x.epilogue != CUBLASLT_EPILOGUE_BIAS) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (x.epilogue == CUBLASLT_EPILOGUE_BIAS && x.biasType != -1 && x.biasType != d.type) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return CUBLAS_STATUS_SUCCESS;
}

bool columnsAligned(const Layout &layout, size_t alignment) {
    return layout.leadingDimension * elementBytes(layout) % alignment == 0;
}

bool aligned(const void *pointer, size_t alignment) {
    return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

// Sets one field from an attribute's buffer, whose size has to be the field's.
template <typename T>
cublasStatus_t assign(T &field, const void *from, size_t bytes) {
    if (from == nullptr || bytes != sizeof field) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    std::memcpy(&field, from, sizeof field);
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T, typename... Arguments>
cublasStatus_t make(T **to, Arguments... arguments) {
    if (to == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *to = new (std::nothrow) T{arguments...};
    if (*to == nullptr) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    device::created();
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t destroy(T *object) {
    if (object != nullptr) {
        delete object;
        device::destroyed();
    }
    return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

CUBLAS_API size_t cublasLtGetVersion() {
    return CUBLAS_VERSION;
}

CUBLAS_API const char *cublasLtGetStatusName(cublasStatus_t status) {
    return device::statusName(status);
}

CUBLAS_API const char *cublasLtGetStatusString(cublasStatus_t status) {
    return device::statusText(status);
}

CUBLAS_API cublasStatus_t cublasLtCreate(Handle **handle) {
    CUBLAS_ENTER("cublasLtCreate");
    if (!device::hasContext()) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    return make(handle, aliveHandle);
}

CUBLAS_API cublasStatus_t cublasLtDestroy(Handle *handle) {
    CUBLAS_ENTER("cublasLtDestroy");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    handle->magic = 0;
    return destroy(handle);
}

CUBLAS_API cublasStatus_t cublasLtMatrixLayoutCreate(Layout **layout, int32_t type, uint64_t rows, uint64_t columns,
                                                     int64_t leadingDimension) {
    CUBLAS_ENTER("cublasLtMatrixLayoutCreate");
    return make(layout, type, rows, columns, leadingDimension);
}

CUBLAS_API cublasStatus_t cublasLtMatrixLayoutDestroy(Layout *layout) {
    CUBLAS_ENTER("cublasLtMatrixLayoutDestroy");
    return destroy(layout);
}

CUBLAS_API cublasStatus_t cublasLtMatmulDescCreate(Description **description, int32_t computeType, int32_t scaleType) {
    CUBLAS_ENTER("cublasLtMatmulDescCreate");
    const cublasStatus_t status = make(description);
    if (status == CUBLAS_STATUS_SUCCESS) {
        (*description)->computeType = computeType;
        (*description)->scaleType = scaleType;
    }
    return status;
}

CUBLAS_API cublasStatus_t cublasLtMatmulDescDestroy(Description *description) {
    CUBLAS_ENTER("cublasLtMatmulDescDestroy");
    return destroy(description);
}

CUBLAS_API cublasStatus_t cublasLtMatmulDescSetAttribute(Description *x, cublasLtMatmulDescAttributes_t attribute,
                                                         const void *value, size_t bytes) {
    CUBLAS_ENTER("cublasLtMatmulDescSetAttribute");
    if (x == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE: return assign(x->computeType, value, bytes);
        case CUBLASLT_MATMUL_DESC_SCALE_TYPE: return assign(x->scaleType, value, bytes);
        case CUBLASLT_MATMUL_DESC_POINTER_MODE: return assign(x->pointerMode, value, bytes);
        case CUBLASLT_MATMUL_DESC_TRANSA: return assign(x->transposeA, value, bytes);
        case CUBLASLT_MATMUL_DESC_TRANSB: return assign(x->transposeB, value, bytes);
        case CUBLASLT_MATMUL_DESC_EPILOGUE: return assign(x->epilogue, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return assign(x->bias, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return assign(x->biasType, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

CUBLAS_API cublasStatus_t cublasLtMatmulPreferenceCreate(Preference **preference) {
    CUBLAS_ENTER("cublasLtMatmulPreferenceCreate");
    return make(preference);
}

CUBLAS_API cublasStatus_t cublasLtMatmulPreferenceDestroy(Preference *preference) {
    CUBLAS_ENTER("cublasLtMatmulPreferenceDestroy");
    return destroy(preference);
}

CUBLAS_API cublasStatus_t cublasLtMatmulPreferenceSetAttribute(Preference *x,
                                                               cublasLtMatmulPreferenceAttributes_t attribute,
                                                               const void *value, size_t bytes) {
    CUBLAS_ENTER("cublasLtMatmulPreferenceSetAttribute");
    if (x == nullptr) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    switch (attribute) {
        case CUBLASLT_MATMUL_PREF_SEARCH_MODE: return assign(x->searchMode, value, bytes);
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return assign(x->workspaceBytes, value, bytes);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return assign(x->reductionSchemes, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return assign(x->alignmentA, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return assign(x->alignmentB, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return assign(x->alignmentC, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return assign(x->alignmentD, value, bytes);
        case CUBLASLT_MATMUL_PREF_IMPL_MASK: return assign(x->implementations, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

CUBLAS_API cublasStatus_t cublasLtMatmulAlgoGetHeuristic(Handle *handle, Description *x, Layout *a, Layout *b,
                                                         Layout *c, Layout *d, Preference *preference, int wanted,
                                                         cublasLtMatmulHeuristicResult_t *results, int *count) {
    CUBLAS_ENTER("cublasLtMatmulAlgoGetHeuristic");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (x == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr || preference == nullptr ||
        wanted <= 0 || results == nullptr || count == nullptr || preference->searchMode != 0) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const cublasStatus_t status = checkProduct(*x, *a, *b, *c, *d);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    const size_t alignment =
        std::min({preference->alignmentA, preference->alignmentB, preference->alignmentC, preference->alignmentD});
    int found = 0;
    for (const Algorithm &algorithm : algorithms) {
        const size_t workspace = workspaceOf(algorithm, *d);
        bool fits = alignment >= algorithm.alignment && workspace <= preference->workspaceBytes &&
                    (algorithm.reductionScheme & ~preference->reductionSchemes) == 0;
        for (const Layout *layout : {a, b, c, d}) {
            fits = fits && columnsAligned(*layout, algorithm.alignment);
        }
        if (fits && x->epilogue == CUBLASLT_EPILOGUE_BIAS) {
            fits = aligned(x->bias, algorithm.alignment);
        }
        if (fits && found < wanted) {
            cublasLtMatmulHeuristicResult_t result = {};
            result.algo.data[0] = algorithmMark | static_cast<uint32_t>(algorithm.id);
            result.workspaceSize = workspace;
            result.state = CUBLAS_STATUS_SUCCESS;
            result.wavesCount = 1;
            results[found++] = result;
        }
    }
    *count = found;
    return found == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                               cublasLtMatmulAlgoConfigAttributes_t attribute,
                                                               void *value, size_t bytes, size_t *written) {
    CUBLAS_ENTER("cublasLtMatmulAlgoConfigGetAttribute");
    const Algorithm *algorithm = algorithmOf(algo);
    if (algorithm == nullptr || value == nullptr || bytes != 4) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    int32_t answer;
    switch (attribute) {
        case CUBLASLT_ALGO_CONFIG_ID: answer = algorithm->id; break;
        case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
            answer = algorithm->reductionScheme == CUBLASLT_REDUCTION_SCHEME_NONE ? 1 : 2;
            break;
        case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME: answer = static_cast<int32_t>(algorithm->reductionScheme); break;
        default: return CUBLAS_STATUS_INVALID_VALUE;
    }
    std::memcpy(value, &answer, sizeof answer);
    if (written != nullptr) {
        *written = sizeof answer;
    }
    return CUBLAS_STATUS_SUCCESS;
}

CUBLAS_API cublasStatus_t cublasLtMatmul(Handle *handle, Description *x, const float *alpha, const void *a,
                                         Layout *aLayout, const void *b, Layout *bLayout, const float *beta,
                                         const void *c, Layout *cLayout, void *d, Layout *dLayout,
                                         const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspaceBytes,
                                         device::Stream stream) {
    CUBLAS_ENTER("cublasLtMatmul");
    if (!usable(handle)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (x == nullptr || alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || d == nullptr ||
        aLayout == nullptr || bLayout == nullptr || cLayout == nullptr || dLayout == nullptr ||
        (c == nullptr && *beta != 0)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const cublasStatus_t status = checkProduct(*x, *aLayout, *bLayout, *cLayout, *dLayout);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    const Algorithm *algorithm = algo == nullptr ? &algorithms[1] : algorithmOf(algo);
    const bool biased = x->epilogue == CUBLASLT_EPILOGUE_BIAS;
    if (algorithm == nullptr || (biased && x->bias == nullptr)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (algorithm->reductionScheme == CUBLASLT_REDUCTION_SCHEME_INPLACE) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const size_t needed = workspaceOf(*algorithm, *dLayout);
    if (needed > workspaceBytes || (needed > 0 && (workspace == nullptr || !aligned(workspace, 16)))) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const struct { const void *data; const Layout *layout; bool read; } operands[] = {
        {a, aLayout, true}, {b, bLayout, true}, {c, cLayout, *beta != 0}, {d, dLayout, true}};
    for (const auto &operand : operands) {
        if (operand.read && !aligned(operand.data, elementBytes(*operand.layout))) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if (operand.read && (!aligned(operand.data, algorithm->alignment) ||
                             !columnsAligned(*operand.layout, algorithm->alignment))) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
    }
    if (biased && !aligned(x->bias, std::max(algorithm->alignment, elementBytes(*dLayout)))) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    product::Product work;
    work.m = static_cast<int64_t>(dLayout->rows);
    work.n = static_cast<int64_t>(dLayout->columns);
    work.k = static_cast<int64_t>(x->transposeA == CUBLAS_OP_N ? aLayout->columns : aLayout->rows);
    work.transposeA = x->transposeA == CUBLAS_OP_T;
    work.transposeB = x->transposeB == CUBLAS_OP_T;
    work.alpha = *alpha;
    work.beta = *beta;
    work.a = {a, typeOf(aLayout->type), aLayout->leadingDimension};
    work.b = {b, typeOf(bLayout->type), bLayout->leadingDimension};
    work.c = {c, typeOf(cLayout->type), cLayout->leadingDimension};
    work.d = d;
    work.dType = typeOf(dLayout->type);
    work.dLeadingDimension = dLayout->leadingDimension;
    work.bias = biased ? x->bias : nullptr;
    work.kBlock = algorithm->kBlock;
    work.partials = needed > 0 ? static_cast<float *>(workspace) : nullptr;
    return device::enqueue(stream, work);
}
