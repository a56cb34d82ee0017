// Copies and fills. What is synchronous waits; what is not waits where the API says so: a copy to pageable host memory
// returns when it is done, one from it when the source has been read.

#include <cstring>
#include <memory>
#include <vector>

#include "memory.h"
#include "stream.h"

using namespace driver;

namespace {

enum class Side { DEVICE, HOST, ANY };

bool valid(Side side, const void* address, size_t bytes) {
    if (side == Side::HOST) return address != nullptr;
    auto at = reinterpret_cast<CUdeviceptr>(address);
    return side == Side::DEVICE ? is_device(at, bytes) : allocation_of(at, bytes) != nullptr;
}

Task copying(void* to, const void* from, size_t bytes) {
    return [=] {
        std::memmove(to, from, bytes);
        return SUCCESS;
    };
}

CUresult copy_async(Lock& held, Side to_side, void* to, Side from_side, const void* from, size_t bytes,
                    CUstream handle) {
    CUstream stream = stream_of(handle);
    if (stream == nullptr) return INVALID_HANDLE;
    if (bytes == 0) return check_capture(stream);
    if (!valid(to_side, to, bytes) || !valid(from_side, from, bytes)) return INVALID_VALUE;
    bool from_pageable = from_side == Side::HOST && !is_pinned(from, bytes);
    bool to_pageable = to_side == Side::HOST && !is_pinned(to, bytes);
    if (stream->capture != nullptr) return enqueue(stream, NODE_MEMCPY, copying(to, from, bytes));
    if (from_pageable) {
        auto bytes_of_source = static_cast<const char*>(from);
        auto staged = std::make_shared<std::vector<char>>(bytes_of_source, bytes_of_source + bytes);
        return enqueue(stream, NODE_MEMCPY, [=] {
            std::memcpy(to, staged->data(), bytes);
            return SUCCESS;
        });
    }
    CUresult result = enqueue(stream, NODE_MEMCPY, copying(to, from, bytes));
    return result == SUCCESS && to_pageable ? wait_for(held, stream) : result;
}

CUresult copy(Lock& held, Side to_side, void* to, Side from_side, const void* from, size_t bytes) {
    CUresult refused = check_legacy_use();
    if (refused == SUCCESS) refused = check_unsafe_call();
    if (refused != SUCCESS) return refused;
    if (bytes == 0) return SUCCESS;
    if (!valid(to_side, to, bytes) || !valid(from_side, from, bytes)) return INVALID_VALUE;
    CUresult result = enqueue(legacy_stream(), NODE_MEMCPY, copying(to, from, bytes));
    return result == SUCCESS ? wait_for(held, legacy_stream()) : result;
}

void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

template <class T>
Task filling(CUdeviceptr to, T value, size_t count) {
    return [=] {
        T* at = static_cast<T*>(pointer(to));
        for (size_t i = 0; i < count; i++) at[i] = value;
        return SUCCESS;
    };
}

template <class T>
CUresult fill_async(CUdeviceptr to, T value, size_t count, CUstream handle) {
    CUstream stream = stream_of(handle);
    if (stream == nullptr) return INVALID_HANDLE;
    if (count == 0) return check_capture(stream);
    if (to % sizeof(T) != 0 || count > SIZE_MAX / sizeof(T) || !is_device(to, count * sizeof(T))) {
        return INVALID_VALUE;
    }
    return enqueue(stream, NODE_MEMSET, filling(to, value, count));
}

// Not a wait: a fill of device memory is asynchronous in the API too.
template <class T>
CUresult fill(CUdeviceptr to, T value, size_t count) {
    CUresult refused = check_legacy_use();
    return refused != SUCCESS ? refused : fill_async(to, value, count, nullptr);
}

}  // namespace

API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    return enter("cuMemcpyHtoD",
                 [&](Lock& held) { return copy(held, Side::DEVICE, pointer(to), Side::HOST, from, bytes); });
}

API CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    return enter("cuMemcpyDtoH",
                 [&](Lock& held) { return copy(held, Side::HOST, to, Side::DEVICE, pointer(from), bytes); });
}

API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return enter("cuMemcpyDtoD", [&](Lock& held) {
        return copy(held, Side::DEVICE, pointer(to), Side::DEVICE, pointer(from), bytes);
    });
}

API CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    return enter("cuMemcpy",
                 [&](Lock& held) { return copy(held, Side::ANY, pointer(to), Side::ANY, pointer(from), bytes); });
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
    return enter("cuMemcpyHtoDAsync", [&](Lock& held) {
        return copy_async(held, Side::DEVICE, pointer(to), Side::HOST, from, bytes, stream);
    });
}

API CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return enter("cuMemcpyDtoHAsync", [&](Lock& held) {
        return copy_async(held, Side::HOST, to, Side::DEVICE, pointer(from), bytes, stream);
    });
}

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return enter("cuMemcpyDtoDAsync", [&](Lock& held) {
        return copy_async(held, Side::DEVICE, pointer(to), Side::DEVICE, pointer(from), bytes, stream);
    });
}

API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    return enter("cuMemcpyAsync", [&](Lock& held) {
        return copy_async(held, Side::ANY, pointer(to), Side::ANY, pointer(from), bytes, stream);
    });
}

API CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
    return enter("cuMemsetD8", [&](Lock&) { return fill(to, value, count); });
}

API CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t count) {
    return enter("cuMemsetD16", [&](Lock&) { return fill(to, value, count); });
}

API CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) {
    return enter("cuMemsetD32", [&](Lock&) { return fill(to, value, count); });
}

API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
    return enter("cuMemsetD8Async", [&](Lock&) { return fill_async(to, value, count, stream); });
}

API CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
    return enter("cuMemsetD16Async", [&](Lock&) { return fill_async(to, value, count, stream); });
}

API CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
    return enter("cuMemsetD32Async", [&](Lock&) { return fill_async(to, value, count, stream); });
}
