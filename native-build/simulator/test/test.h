// Tests of the simulated device: TEST(name) { CHECK(condition); }. The program runs all, or those whose names contain
// its arguments.

#pragma once

#include <functional>
#include <string>

#include "device_emulation.h"

namespace test {

struct Registration {
    Registration(const char* name, void (*body)());
};

void fail(const char* file, int line, const std::string& what);

// The message of the LaunchError that the launch ends with; empty if it ends well.
std::string failure_of(const std::function<void()>& launch);

inline bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Sets a setting of the simulated device for a scope.
class Setting {
public:
    Setting(const char* name, const char* value);
    ~Setting();

private:
    const char* name;
};

}  // namespace test

#define TEST(name)                                                    \
    static void test_##name();                                        \
    static const test::Registration registration_##name(#name, test_##name); \
    static void test_##name()

#define CHECK(condition) \
    if (!(condition)) test::fail(__FILE__, __LINE__, #condition)

#define CHECK_EQUAL(actual, expected)                                                                            \
    if (auto checked_value = actual; !(checked_value == expected))                                               \
    test::fail(__FILE__, __LINE__,                                                                               \
               std::string(#actual " is ") + std::to_string(checked_value) + ", not " #expected)

// The start of a message is enough.
#define CHECK_FAILS(launch, part)                                              \
    if (std::string failure = test::failure_of([&] { launch; }); !test::contains(failure, part)) \
    test::fail(__FILE__, __LINE__, "the launch fails with \"" + failure + "\", not with \"" + part + "\"")
