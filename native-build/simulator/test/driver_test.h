// A context and modules for the tests of the driver.

#pragma once

#include <string>
#include <vector>

#include "driver.h"
#include "test.h"

namespace test {

// A current primary context; the destructor gives it back.
class Context {
public:
    Context();
    ~Context();
};

// PTX that declares an entry: its name, its parameters' types (such as ".u64"), and what stands behind them.
std::string ptx(const std::string& name, const std::vector<std::string>& types, const std::string& directives = "",
                const std::string& version = "9.0", const std::string& target = "sm_80");

// The function of a module made for it alone.
CUfunction function(const std::string& name, const std::vector<std::string>& types,
                    const std::string& directives = "");

CUdeviceptr allocate(size_t bytes);
CUstream stream(unsigned flags = 1);
CUevent event(unsigned flags = 0);

// A gate that holds up a stream until it is opened.
class Gate {
public:
    explicit Gate(CUstream stream);
    ~Gate();    // opens it, too
    void open();

private:
    static void wait(void* gate);
    static void end(void* gate);
    struct State;
    State* state;
};

// Launches test_add: values[0 .. count) += amount.
CUresult add(CUfunction function, CUdeviceptr values, int count, int amount, CUstream stream);

}  // namespace test

#define CHECK_RESULT(call, expected) CHECK_EQUAL(static_cast<int>(call), static_cast<int>(expected))
#define CHECK_OK(call) CHECK_RESULT(call, SUCCESS)
