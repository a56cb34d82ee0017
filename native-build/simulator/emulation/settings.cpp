#include "settings.h"

#include <cstdlib>
#include <map>
#include <mutex>

namespace emulation {
namespace {

std::mutex lock;

std::map<std::string, std::string>& overrides() {
    static auto* map = new std::map<std::string, std::string>();    // lives as long as the last worker thread
    return *map;
}

}  // namespace

std::string setting(const char* name) {
    std::lock_guard<std::mutex> guard(lock);
    auto found = overrides().find(name);
    if (found != overrides().end()) return found->second;
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

long long setting(const char* name, long long otherwise) {
    std::string value = setting(name);
    return value.empty() ? otherwise : std::strtoll(value.c_str(), nullptr, 10);
}

void set_setting(const char* name, const char* value) {
    std::lock_guard<std::mutex> guard(lock);
    if (value == nullptr || *value == 0) {
        overrides().erase(name);
    } else {
        overrides()[name] = value;
    }
}

void reset_settings() {
    std::lock_guard<std::mutex> guard(lock);
    overrides().clear();
}

}  // namespace emulation
