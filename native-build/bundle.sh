#!/bin/sh
# Makes native-build/out/device-bundle, and the same as device-bundle.tar.gz: everything that run-checks.sh needs on a
# machine with a GPU and no Java: a Java runtime, the jars with the PTX, tests, benchmarks, recorded results, PyTorch's
# side. Linux on x86-64 only. Fails above 55 MiB, packed.
#
#   native-build/bundle.sh [--no-build]    --no-build takes what Maven has built already
#
# GOLDEN names the folder of recorded results; otherwise it is ../shared/golden. Without it the bundle has none.
#
# Left out, because nothing on the device needs it: OpenBLAS (the CPU backend computes products in plain Java there),
# the Vector API's module, charts, native libraries of other systems, and JCuda's compiler of PTX. Of the recorded
# results, those with three layers, the largest: they ask nothing of a kernel that the others do not.
set -eu
cd "$(dirname "$0")/.."
most_mib=55
golden=${GOLDEN:-../shared/golden}
bundle=native-build/out/device-bundle
work=native-build/out/device-bundle.work
modules=java.base,java.logging,java.management,jdk.management,jdk.unsupported

if [ "${1:-}" != --no-build ]; then
    native-build/kernels.sh
    src/main/sh/maven.sh --quiet -f reactor.xml -DskipTests -Prun,device-bundle package
fi
jdk=$(sh src/main/dist/lib/find-java.sh javac)

rm -rf "$bundle" "$bundle.tar.gz" "$work"
mkdir -p "$bundle/lib" "$bundle/test-lib" "$work"

"$jdk/bin/jlink" --add-modules $modules --strip-debug --no-header-files --no-man-pages --compress zip-9 \
    --output "$bundle/runtime"
# What jlink leaves of symbols is a sixth of the library.
if command -v strip >/dev/null 2>&1; then
    strip --strip-unneeded "$bundle/runtime/lib/server/libjvm.so"
fi

# Copies a jar without some of its files.
copy_without() {
    jar=$1
    shift
    rm -rf "$work/jar"
    mkdir "$work/jar"
    from=$(cd "$(dirname "$jar")" && pwd)/$(basename "$jar")
    (cd "$work/jar" && "$jdk/bin/jar" --extract --file "$from")
    for unwanted in "$@"; do
        # Patterns of files, split on purpose.
        # shellcheck disable=SC2086
        (cd "$work/jar" && rm -rf $unwanted)
    done
    "$jdk/bin/jar" --create --no-manifest --file "$bundle/lib/$(basename "$jar")" -C "$work/jar" .
}

for jar in jmh/target/lib/*.jar; do
    case $(basename "$jar") in
        openblas-*-linux-*|openblas-*-macosx-*|openblas-*-windows-*|xchart-*) ;;
        jcuda-natives-*) copy_without "$jar" "lib/libJNvPTXCompiler*" "lib/libJNvrtc*" ;;
        zstd-jni-*) copy_without "$jar" darwin freebsd win "linux/[!a]*" "linux/aarch64" "linux/arm" ;;
        megabyte4j-[0-9]*) cp target/megabyte4j-[0-9]*[0-9T].jar "$bundle/lib/" ;;
        *) cp "$jar" "$bundle/lib/" ;;
    esac
done
cp jmh/target/megabyte4j-jmh-*.jar "$bundle/lib/"
cp jmh/target/test-lib/*.jar "$bundle/test-lib/"
mkdir -p "$bundle/tests/org"
cp -R target/test-classes/org/megabyte4j "$bundle/tests/org/"
# A test holds the launches against the tiles that the kernels' text names.
cp -R kernels "$bundle/"
mkdir -p "$bundle/peers"
cp jmh/peers/*.py "$bundle/peers/"
cp LICENSE "$bundle/"
cp native-build/run-checks.sh "$bundle/"
cp native-build/out/kernel-resources.json "$bundle/" 2>/dev/null || true
if [ -d "$golden" ]; then
    mkdir -p "$bundle/golden" "$bundle/data"
    for folder in "$golden"/megabyte* "$golden"/optimizer-* "$golden"/curve-*; do
        case $folder in *-three-layers) continue ;; esac
        cp -R "$folder" "$bundle/golden/"
    done
    # The texts of the recorded training run.
    cp -R "$golden/../data/wikitext-2" "$bundle/data/"
    chmod -R u+w "$bundle/golden" "$bundle/data"
else
    echo "The bundle has no recorded results: there is no $golden; name their folder by GOLDEN." >&2
fi
rm -rf "$work"

tar -C native-build/out -cf - device-bundle | gzip -9 > "$bundle.tar.gz"
bytes=$(wc -c < "$bundle.tar.gz")
echo "$bundle: $(du -sm "$bundle" | cut -f1) MiB, packed in $bundle.tar.gz $((bytes / 1048576)) MiB"
if [ "$bytes" -gt $((most_mib * 1048576)) ]; then
    echo "The packed bundle is larger than $most_mib MiB." >&2
    exit 1
fi
