#!/bin/sh
# Checks and measures megabyte4j on this machine's GPU; part of the device bundle, see native-build/bundle.sh.
#
#   ./run-checks.sh [--device cuda|simulated] [--set default|training|shapes|generation|long]
#                   [--phases "info tests ..."] [--minutes 9] [--out results] [--python python3]
#   ./run-checks.sh --list SET    prints the phases of a set
#
# A set takes nine minutes at most. Each phase has its own log, time limit and status; one that fails does not keep the
# others. Everything lands in the folder of --out: JSON, logs, and table.md, which says it all in one page. What other
# phases left there before is kept and told again, so the sets can share a folder. The exit status is 1 if a phase
# failed.
# --device simulated runs small versions of the phases on the simulated device, whose folder MEGABYTE4J_SIMULATOR names,
# and PyTorch, not compiled, on the CPU; that tests this script and measures nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
device=cuda
minutes=9
out=results
python=python3

# Does it work, and how fast is what.
default="info tests verify-float32 verify-bf16 train-float32 train-bf16 peer-check peer-train-float32 peer-train-bf16 \
roofline-bf16 kernel-times generate-float32 generate-bf16 generate-64-bf16 launch memcheck racecheck train-1m"
# The benchmark preset against PyTorch at its best: about 8 minutes, of which 5 are the compiled peer's three ways.
training="info train-bf16 peer-train-bf16 peer-train-bf16-compiled train-adafactor train-untuned train-fused \
train-unfused train-megabyte peer-train-megabyte peer-train-megabyte-compiled"
# Other shapes, 2 minutes each at most: ours, and the peer, which is compiled layer by layer.
shapes="info train-p4 peer-train-p4-compiled train-p16 peer-train-p16-compiled train-130m peer-train-130m-compiled \
train-t8192 peer-train-t8192-compiled"
# About 6 minutes: the largest model's 1.5 G fresh weights and the peer's compilations.
generation="info generate-bf16 peer-generate-bf16 peer-generate-bf16-compiled generate-64-bf16 \
peer-generate-64-bf16-compiled generate-paper-large generate-untuned generate-float32"
# Much work in few steps: the largest model that is trained, and long contexts. One over 8 Mi bytes is 82 PFLOP, 3 to 5
# minutes.
long="info train-paper roofline-paper train-1m train-8m"

# The phases of a set.
phases_of() {
    case $1 in
        default) echo "$default" ;;
        training) echo "$training" ;;
        shapes) echo "$shapes" ;;
        generation) echo "$generation" ;;
        long) echo "$long" ;;
        *) echo "run-checks.sh: there is no set $1; the sets are default, training, shapes, generation, long" >&2
            return 2 ;;
    esac
}

phases=$default
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2 ;;
        --set) phases=$(phases_of "${2:-}") || exit 2 ;;
        --list) phases_of "${2:-}"; exit $? ;;
        --phases) phases=$2 ;;
        --minutes) minutes=$2 ;;
        --out) out=$2 ;;
        --python) python=$2 ;;
        *)
            echo "run-checks.sh: unknown option $1; see its first lines" >&2
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
# Phases from before are kept, but for those that run now.
touch "$list"
for wanted in $phases; do
    grep -v "^$wanted	" "$list" > "$list.kept"
    mv "$list.kept" "$list"
    rm -f "$out/$wanted.json" "$out/logs/$wanted.out" "$out/logs/$wanted.log"
done
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

# Sizes and counts; small ones on the simulated device.
steps="--steps 20 --warmup 10"
benchmark="--preset benchmark --batch 32 --seq-len 2048 $steps"
model_130m="--preset megabyte-130m --batch 32 --seq-len 2048 $steps"
t8192="--preset benchmark --batch 8 --seq-len 8192 $steps"
# 60 GiB by the plan; the same with 8 is 37.
paper="--preset paper --batch 16 --seq-len 8192 --steps 8 --warmup 4"
bytes="--context 512 --new-bytes 256 --warmup 64"
small_model="--preset benchmark"
large_model="--preset paper-large"
million="--preset benchmark --batch 1 --seq-len 1048576 --steps 3 --warmup 2"
# Without a warm-up: beside such a step, what the first one has to do counts for nothing.
eight_millions="--preset benchmark --batch 1 --seq-len 8388608 --steps 1 --warmup 0"
sizes=benchmark
replays=21
jmh="-f 1 -wi 3 -i 5"
if [ "$device" = simulated ]; then
    benchmark="--preset tiny --batch 1 --seq-len 64 --steps 1 --warmup 2"
    model_130m=$benchmark t8192=$benchmark paper=$benchmark
    bytes="--context 9 --new-bytes 5 --warmup 1"
    small_model="--preset tiny" large_model="--preset tiny"
    million="--preset tiny --seq-len 64 --steps 1 --warmup 2 --chunk 3"
    eight_millions=$million
    sizes=tiny
    replays=2
    jmh="-f 1 -wi 1 -w 100ms -i 1 -r 100ms"
fi

# What a case asks of both sides.
work() {
    train="--mode train --dtype bf16"
    generate="--mode generate --dtype bf16 $bytes"
    case $1 in
        train-float32) echo "--mode train --dtype float32 $benchmark" ;;
        train-bf16|train-adafactor|train-untuned|train-fused|train-unfused) echo "$train $benchmark" ;;
        train-megabyte) echo "$train $benchmark --variant megabyte" ;;
        train-p4) echo "$train $benchmark --patch-size 4" ;;
        train-p16) echo "$train $benchmark --patch-size 16" ;;
        train-130m) echo "$train $model_130m" ;;
        train-t8192) echo "$train $t8192" ;;
        train-paper) echo "$train $paper" ;;
        train-1m) echo "$train $million" ;;
        train-8m) echo "$train $eight_millions" ;;
        generate-float32) echo "--mode generate --dtype float32 $bytes $small_model" ;;
        generate-bf16|generate-untuned) echo "$generate $small_model" ;;
        generate-64-bf16) echo "$generate $small_model --batch 64" ;;
        generate-paper-large) echo "$generate $large_model" ;;
        *) return 1 ;;
    esac
}

# What only megabyte4j is asked, and how long that may take.
bench_phase() {
    limit=90 extra= usual_flags=$flags
    case $1 in
        train-adafactor) extra="--optimizer adafactor" ;;
        *-untuned) extra="--tune off" ;;
        *-fused|*-unfused) flags="$flags -Dmegabyte4j.fusion=${1##*-}" ;;
        train-paper) limit=120 ;;
        train-1m) limit=150 extra="--recompute all --keep-attention" ;;
        train-8m) limit=520 extra="--recompute all --keep-attention" ;;
        generate-paper-large) limit=170 ;;
    esac
    # shellcheck disable=SC2046,SC2086
    command_phase "$1" $limit bench $(work "$1") $extra --device "$device" --json
    flags=$usual_flags
}

roofline_phase() {
    # shellcheck disable=SC2046
    command_phase "$1" 120 bench $(work "$2") --roofline --device "$device" --json
}

# Name, seconds, then options of PyTorch's side.
peer_phase() {
    usable="torch.cuda.is_available()" where=cuda
    if [ "$device" = simulated ]; then
        usable=True where=cpu
    fi
    if ! "$python" -c "import sys, torch; sys.exit(not $usable)" 2> "$out/logs/$1.log"; then
        note "$1" skipped 0 "$python has no PyTorch that sees a GPU; name one that has with --python"
        return
    fi
    name=$1 limit=$2
    shift 2
    phase "$name" "$limit" "$python" "$here/peers/pytorch_megabyte.py" --device "$where" "$@"
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

# PyTorch on the case that is part of the phase's name: eager, or the best of several ways, all of them only where
# the case is the benchmark itself.
peer_case() {
    case=${1#peer-}
    case $case in
        train-bf16-compiled) limit=310 extra="--compiled --limit 300" ;;
        # In no set: as megabyte4j computes, with float32 weights and optimiser state.
        train-*-autocast) limit=110 extra="--compiled --ways layers --limit 100 --weights float32" ;;
        train-*-compiled) limit=110 extra="--compiled --ways layers --limit 100" ;;
        generate-*-compiled) limit=140 extra="--compiled --cache --limit 132" ;;
        generate-*) limit=60 extra="--cache" ;;
        *) limit=60 extra= ;;
    esac
    if [ "$device" = simulated ]; then
        # Compilation would take minutes.
        extra=$(echo "$extra" | sed 's/--ways layers//; s/--compiled/--compiled --ways eager/')
    fi
    case=${case%-autocast}
    options=$(work "${case%-compiled}") || {
        note "$1" skipped 0 "there is no such phase; see --list"
        return
    }
    # shellcheck disable=SC2086
    peer_phase "$1" $limit $options $extra
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
        roofline-bf16) roofline_phase roofline-bf16 train-bf16 ;;
        roofline-paper) roofline_phase roofline-paper train-paper ;;
        peer-check) peer_phase peer-check 60 --check "$here/golden" --curve-steps 0 ;;
        peer-*) peer_case "$wanted" ;;
        kernel-times)
            # shellcheck disable=SC2086
            phase kernel-times 150 env LD_LIBRARY_PATH="$libraries" "$java" $flags -cp "$here/lib/*" \
                org.megabyte4j.jmh.KernelTimes --device "$device" --sizes $sizes --replays $replays --out "$out" ;;
        launch)
            # shellcheck disable=SC2086
            phase launch 120 env LD_LIBRARY_PATH="$libraries" "$java" $flags -cp "$here/lib/*" \
                org.megabyte4j.jmh.Benchmarks "$out" LaunchBenchmark $jmh ;;
        memcheck|racecheck) sanitizer_phase "$wanted" ;;
        *)
            if work "$wanted" > /dev/null; then
                bench_phase "$wanted"
            else
                note "$wanted" skipped 0 "there is no such phase; see --list"
            fi ;;
    esac
done

# shellcheck disable=SC2086
"$java" $flags -cp "$here/lib/*" org.megabyte4j.jmh.CheckTable "$out" || failures=$((failures + 1))
echo "All of it: $out/table.md"
[ $failures -eq 0 ]
