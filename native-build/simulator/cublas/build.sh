#!/bin/sh
# Builds the stand-ins for cuBLAS beside the simulated driver: libcublasLt.so.12, libcublasLt.so.13, libcublas.so.12.
#
#   build.sh FOLDER [FLAGS...]    FOLDER has libcuda.so.1 already; FLAGS go to g++, such as -fsanitize=address
#
# CXX names the compiler, otherwise g++. Only what is older than its sources is built again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
shift
cxx=${CXX:-g++}
flags="-std=c++17 -O3 -g1 -fPIC -fvisibility=hidden -Wall -Wextra $*"
work=$out/cublas
mkdir -p "$work"

stamp="$("$cxx" --version | head -1) $flags"
if [ "$(cat "$work/stamp" 2>/dev/null)" != "$stamp" ]; then
    rm -f "$work"/*.o "$work"/*.so.*
    echo "$stamp" > "$work/stamp"
fi
stale() {
    [ ! -e "$1" ] || [ -n "$(find "$here" "$out/libcuda.so.1" -newer "$1" -type f | head -1)" ]
}
stale "$work/done" || exit 0
echo "g++ native-build/simulator/cublas"

# Vector instructions are for the innermost loop alone, which is chosen when it runs.
kernels="$work/kernel_plain.o"
# shellcheck disable=SC2086
"$cxx" $flags -c "$here/product_kernel.cpp" -o "$work/kernel_plain.o"
case $("$cxx" -dumpmachine) in
    x86_64*)
        # shellcheck disable=SC2086
        "$cxx" $flags -mavx2 -mfma -DKERNEL=kernelAvx2 -c "$here/product_kernel.cpp" -o "$work/kernel_avx2.o"
        kernels="$kernels $work/kernel_avx2.o"
        ;;
esac
for source in product device; do
    # shellcheck disable=SC2086
    "$cxx" $flags -c "$here/$source.cpp" -o "$work/$source.o"
done

# A library under its file's name; its symbols bear the version that NVIDIA's do.
library() {
    name=$1
    version=$2
    shift 2
    echo "$name { global: *; };" > "$work/$name.map"
    # shellcheck disable=SC2086
    "$cxx" $flags -shared -DCUBLAS_VERSION="$version" -Wl,-soname,"$name" -Wl,--version-script,"$work/$name.map" \
        -Wl,-rpath,'$ORIGIN' -Wl,--no-undefined "$@" "$work/product.o" "$work/device.o" $kernels \
        "$out/libcuda.so.1" -o "$work/$name.part"
    mv "$work/$name.part" "$out/$name"
}
library libcublasLt.so.12 120604 "$here/cublaslt.cpp"
library libcublasLt.so.13 130101 "$here/cublaslt.cpp"

# What JCublas's libraries refer to beyond that.
awk -v have="$(sed -n 's/^CUBLAS_API .*[ *]\(cublas[A-Za-z0-9_]*\)(.*/\1/p' "$here/cublas.cpp" | tr '\n' ' ')" '
    BEGIN { count = split(have, names, " "); for (i = 1; i <= count; i++) known[names[i]] = 1
        print "// Not supported, all of them: CUBLAS_STATUS_NOT_SUPPORTED." }
    !($1 in known) { print "extern \"C\" __attribute__((visibility(\"default\"))) int " $1 "() { return 15; }" }
' "$here/cublas_names.txt" > "$work/cublas_stubs.cpp"
library libcublas.so.12 120604 "$here/cublas.cpp" "$work/cublas_stubs.cpp"
touch "$work/done"
