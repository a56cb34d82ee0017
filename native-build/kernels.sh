#!/bin/sh
# Compiles kernels/*.cu to PTX with nvcc: each file for compute_80, and also for compute_90a where its first lines say
#     // target: compute_90a
# Only what changed is compiled again. Then ptxas says what registers, stack and shared memory each entry point takes,
# in native-build/out/kernel-resources.md and .json.
#
#   native-build/kernels.sh [--if-possible]    without nvcc, --if-possible says so and succeeds
#
# NVCC names the compiler; otherwise it is looked for on the PATH and in /usr/local/cuda.
set -eu
cd "$(dirname "$0")/.."
out=native-build/out
ptx=$out/ptx

nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
if ! command -v "$nvcc" >/dev/null 2>&1; then
    echo "The CUDA kernels are not compiled: there is no nvcc on the PATH or in /usr/local/cuda/bin; install CUDA's" \
        "toolkit 12 or newer, or name the compiler by NVCC."
    [ "${1:-}" = --if-possible ] && exit 0
    exit 1
fi
# A wrapper on the PATH need not lie beside the other tools.
ptxas=$(dirname "$("$nvcc" --dryrun -ptx -x cu /dev/null -o /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')/bin/x")/ptxas
command -v "$ptxas" >/dev/null 2>&1 || ptxas=ptxas

flags="-std=c++17 -O3 -Ikernels"
stamp="$("$nvcc" --version | tail -1); $flags"
mkdir -p "$ptx/compute_80" "$ptx/compute_90a" $out/resources
if [ "$(cat $out/kernels.stamp 2>/dev/null)" != "$stamp" ]; then
    rm -f "$ptx"/*/*.ptx "$ptx"/*/*.d $out/resources/*
    echo "$stamp" > $out/kernels.stamp
fi

# Whether a result is older than its source or a header that this includes, which nvcc has listed beside it.
stale() {
    [ -e "$1" ] && [ -e "$1.d" ] || return 0
    for file in $(sed 's/^[^:]*://; s/\\$//' "$1.d"); do
        [ "$file" -ot "$1" ] || return 0
    done
    return 1
}

for target in compute_80 compute_90a; do
    for result in "$ptx/$target"/*.ptx; do
        [ -e "kernels/$(basename "$result" .ptx).cu" ] || rm -f "$result" "$result.d"
    done
done
for source in kernels/*.cu; do
    [ -e "$source" ] || break
    name=$(basename "$source" .cu)
    targets=compute_80
    if head -20 "$source" | grep -q '^// target: compute_90a'; then
        targets="compute_80 compute_90a"
    else
        rm -f "$ptx/compute_90a/$name.ptx" "$ptx/compute_90a/$name.ptx.d"
    fi
    for target in $targets; do
        result=$ptx/$target/$name.ptx
        if stale "$result"; then
            echo "nvcc $source for $target"
            # shellcheck disable=SC2086
            "$nvcc" $flags -ptx -arch="$target" -MMD -MF "$result.d" "$source" -o "$result.part"
            mv "$result.part" "$result"
        fi
        # A GPU of either kind compiles what it is given.
        for machine in sm_80 sm_90a; do
            [ $target = compute_90a ] && [ $machine = sm_80 ] && continue
            [ $target = compute_80 ] && [ $machine = sm_90a ] && [ "$targets" != compute_80 ] && continue
            figures=$out/resources/$name.$machine.txt
            if [ ! -e "$figures" ] || [ "$result" -nt "$figures" ]; then
                "$ptxas" -v -O3 -arch=$machine "$result" -o /dev/null > "$figures.part" 2>&1 || {
                    cat "$figures.part" >&2
                    exit 1
                }
                mv "$figures.part" "$figures"
            fi
        done
    done
done

(cd "$ptx" && find . -name '*.ptx' | sed 's|^\./||' | LC_ALL=C sort) > "$ptx/index.txt"

for figures in $out/resources/*.txt; do
    name=$(basename "$figures" .txt)
    [ -e "kernels/${name%.*}.cu" ] || { rm -f "$figures"; continue; }
    # ptxas: "Compiling entry function 'x'", then "n bytes stack frame, n bytes spill stores, n bytes spill loads" and
    # "Used n registers, used n barriers, n bytes smem, ..."; parts that are zero may be absent.
    awk -v file="${name%.*}" -v machine="${name##*.}" '
        function number(unit,   at) { return match($0, "[0-9]+ " unit) ? substr($0, RSTART) + 0 : 0 }
        /Compiling entry function/ { split($0, part, "\047"); entry = part[2] }
        /bytes stack frame/ && entry { stack = number("bytes stack frame"); stores = number("bytes spill stores")
            loads = number("bytes spill loads") }
        /Used [0-9]+ registers/ && entry {
            print file, entry, machine, number("registers"), stores + loads, stack, number("bytes smem"); entry = "" }
    ' "$figures"
done | LC_ALL=C sort > $out/kernel-resources.txt

awk 'BEGIN {
    print "| file | entry point | GPU | registers | spilled bytes | stack bytes | static shared bytes |"
    print "|---|---|---|---:|---:|---:|---:|" }
    { print "| " $1 ".cu | `" $2 "` | " $3 " | " $4 " | " $5 " | " $6 " | " $7 " |" }
' $out/kernel-resources.txt > $out/kernel-resources.md
awk 'BEGIN { print "[" }
    { printf "%s  {\"file\": \"%s\", \"entry\": \"%s\", \"gpu\": \"%s\", ", (NR > 1 ? ",\n" : ""), $1, $2, $3
      printf "\"registers\": %d, \"spilledBytes\": %d, \"stackBytes\": %d, \"sharedBytes\": %d}", $4, $5, $6, $7 }
    END { print (NR > 0 ? "\n]" : "]") }
' $out/kernel-resources.txt > $out/kernel-resources.json
rm -f $out/kernel-resources.txt
