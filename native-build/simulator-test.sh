#!/bin/sh
# Builds the simulated device and runs the tests of the simulator itself.
#
#   native-build/simulator-test.sh [--if-possible] [--asan] [TEST...]    TEST is a part of a test's name
set -eu
cd "$(dirname "$0")/.."
options=
out=native-build/out/simulator
while [ $# -gt 0 ]; do
    case $1 in
        --if-possible) options="$options $1" ;;
        --asan) options="$options $1"; out=native-build/out/simulator-asan ;;
        *) break ;;
    esac
    shift
done
# shellcheck disable=SC2086
native-build/simulator.sh --tests $options
if ! command -v "${CXX:-g++}" >/dev/null 2>&1 || ! command -v make >/dev/null 2>&1; then
    exit 0    # --if-possible has said why
fi
# Faults are part of the tests: the simulated device handles them itself.
ASAN_OPTIONS=handle_segv=0,handle_sigbus=0,handle_sigfpe=0,detect_leaks=0,use_sigaltstack=0 "$out/self-test" "$@"
