#include "ptx.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace driver {
namespace {

// Words and single characters; comments are skipped.
class Words {
public:
    explicit Words(const char* text) : at(text) {}

    // Empty at the end.
    std::string next() {
        skip();
        if (*at == 0) return "";
        const char* start = at;
        if (is_word(*at)) {
            while (is_word(*at)) at++;
        } else if (*at == '"') {
            at++;
            while (*at != 0 && *at != '"') at++;
            if (*at == '"') at++;
        } else {
            at++;
        }
        return std::string(start, at);
    }

    // The next word stays.
    std::string peek() {
        const char* before = at;
        std::string word = next();
        at = before;
        return word;
    }

private:
    static bool is_word(char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$' || c == '%';
    }

    void skip() {
        for (;;) {
            while (std::isspace(static_cast<unsigned char>(*at))) at++;
            if (at[0] == '/' && at[1] == '/') {
                while (*at != 0 && *at != '\n') at++;
            } else if (at[0] == '/' && at[1] == '*') {
                at += 2;
                while (*at != 0 && !(at[0] == '*' && at[1] == '/')) at++;
                if (*at != 0) at += 2;
            } else {
                return;
            }
        }
    }

    const char* at;
};

size_t size_of_type(const std::string& type) {
    size_t digits = type.find_first_of("0123456789");
    if (type.empty() || type[0] != '.' || digits != 2) return 0;
    return static_cast<size_t>(atoi(type.c_str() + digits)) / 8;
}

// [n], or nothing for one.
size_t count_of(Words& words) {
    if (words.peek() != "[") return 1;
    words.next();
    std::string number = words.next();
    if (number == "]") return 0;    // extern: size is the launch's
    words.next();
    return strtoull(number.c_str(), nullptr, 10);
}

// .param .u64 .ptr .align 1 name, .param .align 8 .b8 name[24]
size_t parameter(Words& words) {
    size_t size = 0;
    for (;;) {
        std::string word = words.next();
        if (word == ".align") {
            words.next();
        } else if (size_of_type(word) > 0) {
            size = size_of_type(word);
        } else if (word.empty() || word[0] != '.') {
            return size * count_of(words);
        }
    }
}

using SharedSizes = std::map<std::string, size_t>;

// .shared .align 16 .b8 name[1024]
void shared_variable(Words& words, SharedSizes& shared) {
    size_t size = 1;
    for (;;) {
        std::string word = words.next();
        if (word == ".align") {
            words.next();
        } else if (size_of_type(word) > 0) {
            size = size_of_type(word);
        } else if (word.empty() || word[0] != '.') {
            shared[word] = size * count_of(words);
            return;
        }
    }
}

// Up to the closing brace.
void body(Words& words, PtxEntry& entry, SharedSizes& shared) {
    SharedSizes used;
    int depth = 0;
    for (std::string word = words.next(); !word.empty(); word = words.next()) {
        if (word == "{") depth++;
        if (word == ".shared") shared_variable(words, shared);
        auto found = shared.find(word);
        if (found != shared.end()) used.insert(*found);
        if (word == "}" && --depth == 0) break;
    }
    for (const auto& [name, size] : used) entry.static_shared += size;
}

PtxEntry entry(Words& words, SharedSizes& shared) {
    PtxEntry entry;
    entry.name = words.next();
    if (words.peek() == "(") {
        for (std::string word = words.next(); word != ")" && !word.empty(); word = words.next()) {
            if (word == ".param") entry.parameter_sizes.push_back(parameter(words));
        }
    }
    for (std::string word = words.peek(); word != "{" && !word.empty() && word != ";"; word = words.peek()) {
        words.next();
        if (word != ".maxntid") continue;
        entry.max_threads = atoi(words.next().c_str());
        while (words.peek() == ",") {
            words.next();
            entry.max_threads *= atoi(words.next().c_str());
        }
    }
    if (words.peek() == "{") body(words, entry, shared);
    return entry;
}

}  // namespace

Ptx parse_ptx(const char* text) {
    Ptx ptx;
    Words words(text);
    SharedSizes shared;
    if (words.next() != ".version") {
        ptx.error = "it does not begin with .version";
        return ptx;
    }
    int major = 0;
    int minor = 0;
    if (sscanf(words.next().c_str(), "%d.%d", &major, &minor) != 2) {
        ptx.error = "its .version is no version";
        return ptx;
    }
    ptx.version = 10 * major + minor;
    for (std::string word = words.next(); !word.empty(); word = words.next()) {
        if (word == ".target") {
            std::string target = words.next();
            if (sscanf(target.c_str(), "sm_%d", &ptx.target) != 1) {
                ptx.error = "its .target is " + target;
                return ptx;
            }
            ptx.exact_target = target.back() == 'a';
        } else if (word == ".entry") {
            ptx.entries.push_back(entry(words, shared));
        } else if (word == ".shared") {
            shared_variable(words, shared);
        }
    }
    if (ptx.target == 0) ptx.error = "it has no .target";
    return ptx;
}

// PTX ISA, release notes: which PTX came with which CUDA.
int newest_ptx(int driver_version) {
    struct Release {
        int cuda;
        int ptx;
    };
    constexpr Release RELEASES[] = {{13000, 90}, {12090, 88}, {12080, 87}, {12070, 86}, {12050, 85}, {12040, 84},
                                    {12030, 83}, {12020, 82}, {12010, 81}, {12000, 80}, {11080, 78}, {11070, 77},
                                    {11060, 76}, {11050, 75}, {11040, 74}, {11030, 73}, {11020, 72}, {11010, 71},
                                    {11000, 70}};
    for (const Release& release : RELEASES) {
        if (driver_version >= release.cuda) return release.ptx;
    }
    return 65;
}

}  // namespace driver
