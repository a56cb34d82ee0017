#include "static_shared.h"

#include <link.h>

#include <cstdint>

extern "C" void* __tls_get_addr(size_t*);

namespace emulation {
namespace {

struct Module {
    uintptr_t address;    // of something in it
    size_t tls_id;
    size_t tls_size;
};

int examine(dl_phdr_info* info, size_t, void* data) {
    auto* module = static_cast<Module*>(data);
    bool here = false;
    size_t tls = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& header = info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + header.p_vaddr;
        here |= header.p_type == PT_LOAD && module->address - start < header.p_memsz;
        if (header.p_type == PT_TLS) tls = header.p_memsz;
    }
    if (!here) return 0;
    module->tls_id = info->dlpi_tls_modid;
    module->tls_size = tls;
    return 1;
}

}  // namespace

void find_static_shared(const Kernel& kernel, char** start, size_t* size) {
#ifdef __SANITIZE_ADDRESS__
    (void)kernel, (void)examine;
    *start = nullptr;
    *size = 0;
#else
    static __thread const Kernel* last;
    static __thread char* last_start;
    static __thread size_t last_size;
    if (last != &kernel) {
        Module module = {reinterpret_cast<uintptr_t>(kernel.function), 0, 0};
        dl_iterate_phdr(examine, &module);
        size_t variable[2] = {module.tls_id, 0};
        last_size = module.tls_size;
        last_start = last_size == 0 ? nullptr : static_cast<char*>(__tls_get_addr(variable));
        last = &kernel;
    }
    *start = last_start;
    *size = last_size;
#endif
}

}  // namespace emulation
