#!/bin/sh
# Builds the simulated CUDA device with g++: docs/simulator.md. Only what changed is compiled again.
#
#   native-build/simulator.sh [--if-possible] [--asan] [--tests]
#
#   --if-possible   without g++ and make, says so and succeeds
#   --asan          with AddressSanitizer and UndefinedBehaviorSanitizer, into native-build/out/simulator-asan
#   --tests         with the tests of the simulator itself
#
# CXX names the compiler, otherwise g++; MAKE_JOBS how many run at a time, otherwise 2.
set -eu
cd "$(dirname "$0")/.."
cxx=${CXX:-g++}
out=native-build/out/simulator
sanitize=
target=all
optional=false
for argument; do
    case $argument in
        --if-possible) optional=true ;;
        --tests) target=tests ;;
        --asan)
            out=native-build/out/simulator-asan
            sanitize="-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
            ;;
        *)
            echo "usage: native-build/simulator.sh [--if-possible] [--asan] [--tests]" >&2
            exit 2
            ;;
    esac
done

for tool in "$cxx" make; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "The simulated CUDA device is not built: there is no $tool; install g++ and make."
        $optional && exit 0
        exit 1
    fi
done

mkdir -p "$out"
make --no-print-directory -s -C native-build/simulator -j "${MAKE_JOBS:-2}" OUT="$PWD/$out" ROOT="$PWD" CXX="$cxx" \
    SANITIZE="$sanitize" "$target"
if [ -x native-build/simulator/cublas/build.sh ]; then
    # shellcheck disable=SC2086
    CXX=$cxx native-build/simulator/cublas/build.sh "$PWD/$out" $sanitize
fi
