// Settings by name: what a test has set in this process, else the environment variable of the same name.

#pragma once

#include <string>

namespace emulation {

// Empty if it is not set.
std::string setting(const char* name);
long long setting(const char* name, long long otherwise);

// An empty value takes the environment's again.
void set_setting(const char* name, const char* value);
void reset_settings();

}  // namespace emulation
