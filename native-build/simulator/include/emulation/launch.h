// Kernels by name, and launches of them.
//
//   emulation::launch("scale_f32", grid, block, shared, x, count, 2.0f);    each of the parameter's size
//   emulation::launch(scale_f32, grid, block, shared, x, count, 2);         converted as in a call
//
// launch() returns when the grid has run, and throws LaunchError with the sentence that says what went wrong.

#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace emulation {

struct Kernel {
    const char* name;
    const char* file;    // source
    void (*function)();
    void (*invoke)(void (*function)(), void* const* arguments);
    std::vector<size_t> parameter_sizes;
};

struct LaunchShape {
    dim3 grid;
    dim3 block;
    size_t dynamic_shared;
    unsigned cluster = 1;    // blocks that run together, neighbours along x
};

// CUresult codes that a kernel can end with, and what happened.
struct Outcome {
    int code = 0;
    std::string message;
};

struct LaunchError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void register_kernel(Kernel kernel);
const Kernel* find_kernel(const char* name);
const Kernel* find_kernel(void (*function)());
std::vector<const Kernel*> all_kernels();    // in the order of their names

// Runs the grid and returns when all blocks have ended. Shape and arguments must have been checked.
Outcome run(const Kernel& kernel, const LaunchShape& shape, void* const* arguments);

// Checks, runs, throws.
void run_checked(const Kernel& kernel, const LaunchShape& shape, void* const* arguments,
                 const std::vector<size_t>& argument_sizes);
const Kernel& kernel_named(const char* name);
const Kernel& kernel_of(void (*function)());

template <class... P, size_t... I>
void call(void (*function)(P...), void* const* arguments, std::index_sequence<I...>) {
    function(*static_cast<P*>(arguments[I])...);
}

template <class... P>
void invoke(void (*function)(), void* const* arguments) {
    call(reinterpret_cast<void (*)(P...)>(function), arguments, std::index_sequence_for<P...>{});
}

template <class T>
constexpr bool PARAMETER = std::is_pointer_v<T> || std::is_same_v<T, long long> || std::is_same_v<T, int> ||
                           std::is_same_v<T, float> || std::is_same_v<T, double>;

struct Registration {
    template <class... P>
    Registration(const char* name, const char* file, void (*kernel)(P...)) {
        static_assert((PARAMETER<P> && ...), "kernel parameters are pointers, long long, int, float or double");
        register_kernel({name, file, reinterpret_cast<void (*)()>(kernel), invoke<P...>, {sizeof(P)...}});
    }
};

template <class... A>
void launch(const char* name, dim3 grid, dim3 block, size_t dynamic_shared, A... values) {
    void* arguments[] = {&values..., nullptr};
    run_checked(kernel_named(name), {grid, block, dynamic_shared}, arguments, {sizeof(A)...});
}

template <class... P, class... A>
void launch(void (*kernel)(P...), const LaunchShape& shape, A... values) {
    std::tuple<P...> converted(static_cast<P>(values)...);
    std::apply(
        [&](P&... parameters) {
            void* arguments[] = {const_cast<std::remove_const_t<P>*>(&parameters)..., nullptr};
            run_checked(kernel_of(reinterpret_cast<void (*)()>(kernel)), shape, arguments, {sizeof(P)...});
        },
        converted);
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t dynamic_shared, A... values) {
    launch(kernel, LaunchShape{grid, block, dynamic_shared}, values...);
}

}  // namespace emulation

#define REGISTER_KERNEL(name) \
    static const ::emulation::Registration emulation_registration_##name { #name, __FILE__, name }
