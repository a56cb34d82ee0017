#!/bin/sh
# The tests of the simulated device and of everything that runs on it, with AddressSanitizer and
# UndefinedBehaviorSanitizer in the kernels, the driver and the stand-ins of cuBLAS.
#
#   native-build/test-kernels-asan.sh [TESTS]    TESTS as for Maven's -Dtest; otherwise all of the CUDA
#                                             backend but whole training runs, which would take an hour
set -eu
cd "$(dirname "$0")/.."
tests=${1:-'org/megabyte4j/backend/cuda/*Test,!GoldenCurveTest'}
cxx=${CXX:-g++}

native-build/simulator-test.sh --asan

# The libraries of the sanitizers have to be in the JVM before it starts, and that of C++ for them to find. Its own null
# checks are faults that sanitizers must leave alone; leaks are the JVM's to have.
preload=
for library in libasan.so libubsan.so libstdc++.so; do
    preload="$preload $("$cxx" -print-file-name=$library)"
done
options=handle_segv=0,handle_sigbus=0,handle_sigfpe=0,detect_leaks=0,use_sigaltstack=0
MEGABYTE4J_SIMULATOR=$PWD/native-build/out/simulator-asan UBSAN_OPTIONS=print_stacktrace=1 \
    src/main/sh/maven.sh test -Dtest="$tests" -Dsurefire.failIfNoSpecifiedTests=false \
    -Dsanitizer.preload="$preload" -Dsanitizer.options="$options" -Psanitizers
