// Writes for each .cu of libkernels.so a PTX module without instructions: the entry points and their parameters, which
// is all that the simulated driver reads. It stands in where nvcc is missing.
//
//   write-ptx FOLDER

#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include "device_emulation.h"

namespace {

std::string stem(const char* path) {
    const char* slash = std::strrchr(path, '/');
    std::string name = slash == nullptr ? path : slash + 1;
    return name.substr(0, name.find('.'));
}

void write_entry(FILE* file, const emulation::Kernel& kernel) {
    fprintf(file, "\n.visible .entry %s(", kernel.name);
    for (size_t i = 0; i < kernel.parameter_sizes.size(); i++) {
        fprintf(file, "%s\n    .param .b%zu %s_param_%zu", i == 0 ? "" : ",", 8 * kernel.parameter_sizes[i],
                kernel.name, i);
    }
    fprintf(file, "\n)\n{\n    trap;\n}\n");
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        fprintf(stderr, "write-ptx FOLDER\n");
        return 2;
    }
    std::map<std::string, FILE*> files;
    for (const emulation::Kernel* kernel : emulation::all_kernels()) {
        std::string name = stem(kernel->file);
        FILE*& file = files[name];
        if (file == nullptr) {
            std::string path = std::string(arguments[1]) + "/" + name + ".ptx";
            file = fopen(path.c_str(), "w");
            if (file == nullptr) {
                perror(path.c_str());
                return 1;
            }
            fprintf(file, "// For the simulated device only: it has no instructions.\n");
            fprintf(file, ".version 7.0\n.target sm_80\n.address_size 64\n");
        }
        write_entry(file, *kernel);
    }
    for (const auto& [name, file] : files) fclose(file);
    return 0;
}
