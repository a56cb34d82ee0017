#!/bin/sh
# Checks and measures megabyte4j on this machine's GPU; part of the device bundle, see native-build/bundle.sh.
#
#   ./run-checks.sh [--device cuda|simulated] [--phases "info tests ..."] [--minutes 9] [--out results]
#                   [--python python3]
#
# Each phase has its own log, time limit and status; one that fails does not keep the others. Everything lands in the
# folder of --out: JSON, logs, and table.md, which says it all in one page. The exit status is 1 if a phase failed.
# --device simulated runs small versions of the phases on the simulated device, whose folder MEGABYTE4J_SIMULATOR names;
# that tests this script and measures nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
device=cuda
minutes=9
out=results
python=python3
all="info tests verify-float32 verify-bf16 train-float32 train-bf16 peer-check peer-train-float32 peer-train-bf16 \
roofline-bf16 kernel-times generate-float32 generate-bf16 generate-64-bf16 peer-generate-bf16 launch memcheck \
racecheck train-1m peer-train-bf16-compiled"
# A step over 8 Mi bytes takes minutes: only when it is asked for, with --minutes 30.
asked="train-8m"
phases=$all
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2 ;;
        --phases) phases=$2 ;;
        --minutes) minutes=$2 ;;
        --out) out=$2 ;;
        --python) python=$2 ;;
        *)
            echo "run-checks.sh: unknown option $1; see its first lines. The phases are $all $asked" >&2
            exit 2 ;;
    esac
    if [ $# -lt 2 ]; then
        echo "run-checks.sh: $1 needs a value" >&2
        exit 2
    fi
    shift 2
done
case $device in
    cuda|simulated) ;;
    *) echo "run-checks.sh: unknown device $device; it is cuda or simulated" >&2; exit 2 ;;
esac

mkdir -p "$out/logs" || exit 2
out=$(cd "$out" && pwd)
list=$out/phases.tsv
cd "$here" || exit 2
: > "$list"
deadline=$(($(date +%s) + minutes * 60))
failures=0

# The driver keeps what it has compiled of the PTX here, for all phases; and nothing is taken from runs before.
CUDA_CACHE_PATH=${TMPDIR:-/tmp}/megabyte4j-ptx.$$
export CUDA_CACHE_PATH
trap 'rm -rf "$CUDA_CACHE_PATH"' EXIT
trap 'exit 130' INT TERM

java=$here/runtime/bin/java
# cuBLAS may lie where the loader does not look: with CUDA's toolkit, or with PyTorch. Java alone is told, since PyTorch
# finds its own.
libraries=${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64
if [ "$device" = cuda ]; then
    libraries=$libraries:$("$python" -c 'import glob, sys
found = [file for place in sys.path for file in glob.glob(place + "/nvidia/*/lib/libcublasLt.so.*")]
print(":".join(sorted({file.rpartition("/")[0] for file in found})))' \
        2>/dev/null)
fi
libraries=${libraries#:}
flags="--enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow -XX:+UseSerialGC -Xmx4g \
-Dmegabyte4j.device=$device -Dmegabyte4j.test.device=$device -Djmh.ignoreLock=true"

# Notes how a phase ended: name, status, seconds, remark.
note() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >> "$list"
    echo "$1: $2, $3 s${4:+: $4}"
}

# Runs a command as a phase: name, seconds at most, command. Its last line of output is kept if it is JSON.
phase() {
    name=$1
    limit=$2
    shift 2
    left=$((deadline - $(date +%s)))
    if [ $left -lt 5 ]; then
        note "$name" skipped 0 "no time is left of the $minutes minutes"
        return
    fi
    [ $left -lt "$limit" ] && limit=$left
    start=$(date +%s)
    timeout -k 10 "$limit" "$@" > "$out/logs/$name.out" 2> "$out/logs/$name.log"
    status=$?
    seconds=$(($(date +%s) - start))
    json=$(tail -n 1 "$out/logs/$name.out")
    case $json in
        '{'*'}') printf '%s\n' "$json" > "$out/$name.json" ;;
    esac
    case $status in
        0) note "$name" ok $seconds "" ;;
        124|137)
            failures=$((failures + 1))
            note "$name" "timed out" $seconds "after $limit s; see logs/$name.log" ;;
        *)
            failures=$((failures + 1))
            note "$name" failed $seconds "exit status $status; see logs/$name.log and logs/$name.out" ;;
    esac
}

# Name, seconds at most, then a command of megabyte4j and its options.
command_phase() {
    name=$1 limit=$2 command=$3
    shift 3
    # shellcheck disable=SC2086
    phase "$name" "$limit" env LD_LIBRARY_PATH="$libraries" "$java" $flags -cp "$here/lib/*" \
        org.megabyte4j.cli.Main "$command" "$@"
}

# Name, limit, classes (a regular expression, or "" for all of the package), then what goes before java.
test_phase() {
    name=$1 limit=$2 classes=$3
    shift 3
    # shellcheck disable=SC2086
    phase "$name" "$limit" env LD_LIBRARY_PATH="$libraries" "$@" "$java" $flags \
        -cp "$here/lib/*:$here/test-lib/*:$here/tests" \
        org.junit.platform.console.ConsoleLauncher execute --scan-classpath="$here/tests" --disable-banner \
        --disable-ansi-colors --details=tree --include-package=org.megabyte4j.backend.cuda \
        --include-classname="${classes:-.*Test}"
}

verify_phase() {
    if [ ! -d "$here/golden" ]; then
        note "$1" skipped 0 "the bundle has no recorded results"
        return
    fi
    if [ "$device" = simulated ]; then
        command_phase "$1" 120 verify "$here/golden/megabyte-one-patch" --data "$here/data" --device "$device" \
            --dtype "$2"
    else
        command_phase "$1" 120 verify "$here"/golden/* --data "$here/data" --device "$device" --dtype "$2"
    fi
}

# Long contexts. They need 12 and 70 GB.
long="--mode train --preset benchmark --batch 1 --recompute all --keep-attention"
train_1m="$long --seq-len 1048576 --steps 3 --warmup 2"
train_8m="$long --seq-len 8388608 --steps 1 --warmup 1"
# The same options for both sides.
train="--mode train --preset benchmark --batch 32 --seq-len 2048 --steps 20 --warmup 10"
generate="--mode generate --preset benchmark --context 512 --new-bytes 256 --warmup 64"
sizes=benchmark
replays=21
jmh="-f 1 -wi 3 -i 5"
if [ "$device" = simulated ]; then
    train="--mode train --preset tiny --batch 1 --seq-len 64 --steps 1 --warmup 2"
    generate="--mode generate --preset tiny --context 9 --new-bytes 5 --warmup 1"
    train_1m="--mode train --preset tiny --seq-len 64 --steps 1 --warmup 2 --recompute all --keep-attention --chunk 3"
    train_8m=$train_1m
    sizes=tiny
    replays=2
    jmh="-f 1 -wi 1 -w 100ms -i 1 -r 100ms"
fi

bench_phase() {
    # shellcheck disable=SC2086
    command_phase "$1" "${4:-90}" bench $3 --device "$device" --dtype "$2" --json
}

# Name, seconds, then options of PyTorch's side.
peer_phase() {
    if [ "$device" = simulated ]; then
        note "$1" skipped 0 "PyTorch does not know the simulated device"
        return
    fi
    if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> "$out/logs/$1.log"; then
        note "$1" skipped 0 "$python has no PyTorch that sees a GPU; name one that has with --python"
        return
    fi
    name=$1 limit=$2
    shift 2
    phase "$name" "$limit" "$python" "$here/peers/pytorch_megabyte.py" --device cuda "$@"
}

# Kernels under compute-sanitizer: a small choice, which takes each of them once; the rest would take hours.
sanitizer_phase() {
    if [ "$device" = simulated ]; then
        note "$1" skipped 0 "compute-sanitizer does not know the simulated device; make test-kernels-asan does the like"
        return
    fi
    sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
    if [ ! -x "$sanitizer" ]; then
        note "$1" skipped 0 "there is no compute-sanitizer on the PATH or in /usr/local/cuda/bin"
        return
    fi
    kernels='LayerNorm|Gelu|CrossEntropy|LocalAttention|PatchAttention|Sampling|LocalDecode'
    test_phase "$1" 100 ".*($kernels)KernelsTest" \
        "$sanitizer" --tool "$1" --target-processes all --error-exitcode 99 --print-limit 20
}

for wanted in $phases; do
    case $wanted in
        info) command_phase info 60 info ;;
        tests)
            if [ "$device" = simulated ]; then
                test_phase tests 300 '.*(Gelu|Elementwise)KernelsTest'
            else
                test_phase tests 240 ''
            fi ;;
        verify-float32) verify_phase verify-float32 float32 ;;
        verify-bf16) verify_phase verify-bf16 bf16 ;;
        train-float32) bench_phase train-float32 float32 "$train" ;;
        train-bf16) bench_phase train-bf16 bf16 "$train" ;;
        roofline-bf16) bench_phase roofline-bf16 bf16 "$train --roofline" ;;
        train-1m) bench_phase train-1m bf16 "$train_1m" 150 ;;
        train-8m) bench_phase train-8m bf16 "$train_8m" 1800 ;;
        generate-float32) bench_phase generate-float32 float32 "$generate" ;;
        generate-bf16) bench_phase generate-bf16 bf16 "$generate" ;;
        generate-64-bf16) bench_phase generate-64-bf16 bf16 "$generate --batch 64" ;;
        peer-check) peer_phase peer-check 60 --check "$here/golden" --curve-steps 0 ;;
        # shellcheck disable=SC2086
        peer-train-float32) peer_phase peer-train-float32 60 $train --dtype float32 ;;
        # shellcheck disable=SC2086
        peer-train-bf16) peer_phase peer-train-bf16 60 $train --dtype bf16 ;;
        # shellcheck disable=SC2086
        peer-train-bf16-compiled) peer_phase peer-train-bf16-compiled 180 $train --dtype bf16 --compiled ;;
        # shellcheck disable=SC2086
        peer-generate-bf16) peer_phase peer-generate-bf16 60 $generate --dtype bf16 --cache ;;
        kernel-times)
            # shellcheck disable=SC2086
            phase kernel-times 150 env LD_LIBRARY_PATH="$libraries" "$java" $flags -cp "$here/lib/*" \
                org.megabyte4j.jmh.KernelTimes --device "$device" --sizes $sizes --replays $replays --out "$out" ;;
        launch)
            # shellcheck disable=SC2086
            phase launch 120 env LD_LIBRARY_PATH="$libraries" "$java" $flags -cp "$here/lib/*" \
                org.megabyte4j.jmh.Benchmarks "$out" LaunchBenchmark $jmh ;;
        memcheck|racecheck) sanitizer_phase "$wanted" ;;
        *) note "$wanted" skipped 0 "there is no such phase; the phases are $all $asked" ;;
    esac
done

# shellcheck disable=SC2086
"$java" $flags -cp "$here/lib/*" org.megabyte4j.jmh.CheckTable "$out" || failures=$((failures + 1))
echo "All of it: $out/table.md"
[ $failures -eq 0 ]
