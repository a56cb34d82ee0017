#include <cstdio>
#include <cstring>
#include <vector>

#include "driver.h"
#include "test.h"

namespace test {
namespace {

struct Test {
    const char* name;
    void (*body)();
};

std::vector<Test>& tests() {
    static std::vector<Test> tests;
    return tests;
}

int failures = 0;

}  // namespace

Registration::Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }

void fail(const char* file, int line, const std::string& what) {
    printf("%s:%d: %s\n", file, line, what.c_str());
    failures++;
}

std::string failure_of(const std::function<void()>& launch) {
    try {
        launch();
        return "";
    } catch (const emulation::LaunchError& error) {
        return error.what();
    }
}

Setting::Setting(const char* name, const char* value) : name(name) {
    if (simulatorSet(name, value) != 0) fail(__FILE__, __LINE__, std::string("no setting ") + name);
}

Setting::~Setting() { simulatorSet(name, nullptr); }

}  // namespace test

int main(int count, char** arguments) {
    int run = 0;
    int failed = 0;
    for (const auto& test : test::tests()) {
        bool wanted = count == 1;
        for (int i = 1; i < count; i++) wanted = wanted || std::strstr(test.name, arguments[i]) != nullptr;
        if (!wanted) continue;
        int before = test::failures;
        simulatorReset();
        test.body();
        run++;
        if (test::failures > before) {
            printf("FAILED %s\n", test.name);
            failed++;
        }
    }
    printf("simulated device: %d tests, %d failed\n", run, failed);
    return failed == 0 && run > 0 ? 0 : 1;
}
