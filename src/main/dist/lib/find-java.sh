#!/bin/sh
# Prints the home of a Java that megabyte4j can run with, or says what is missing.
#
#   find-java.sh         a Java to run with
#   find-java.sh javac   a JDK to build with
#
# Looks at JAVA_HOME, then at the java on the PATH, then at the usual places. MEGABYTE4J_JAVA_PLACES replaces these:
# one pattern of folders per line.

oldest=25
tool=${1:-java}
found=

newline='
'
usual_places="/usr/lib/jvm/*
/usr/lib64/jvm/*
/usr/java/*
/opt/java/*
/opt/*jdk*
/usr/local/*jdk*
/Library/Java/JavaVirtualMachines/*/Contents/Home
$HOME/Library/Java/JavaVirtualMachines/*/Contents/Home
/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home
/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home
/home/linuxbrew/.linuxbrew/opt/openjdk*/libexec
${SDKMAN_DIR:-$HOME/.sdkman}/candidates/java/*
${ASDF_DATA_DIR:-$HOME/.asdf}/installs/java/*
$HOME/.local/share/mise/installs/java/*
$HOME/.jdks/*
$HOME/.gradle/jdks/*
$HOME/.gradle/jdks/*/*.jdk/Contents/Home"

# The major version of the Java in a folder; nothing if there is none.
version() {
    [ -x "$1/bin/java" ] || return 0
    text=
    if [ -r "$1/release" ]; then
        text=$(sed -n 's/^JAVA_VERSION="\{0,1\}\([0-9.]*\).*/\1/p' "$1/release")
    fi
    if [ -z "$text" ]; then
        text=$("$1/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9.]*\).*/\1/p')
    fi
    case $text in
        1.*) text=${text#1.} ;;
    esac
    echo "${text%%.*}"
}

# Ends the search if a folder holds what is needed, else remembers what it holds.
try() {
    home=$(cd "$1" >/dev/null 2>&1 && pwd -P) || return 0
    major=$(version "$home")
    case $major in
        ''|*[!0-9]*) return 0 ;;
    esac
    if [ "$major" -ge "$oldest" ] && [ -x "$home/bin/$tool" ]; then
        echo "$home"
        exit 0
    fi
    what="Java $major in $home"
    [ "$major" -ge "$oldest" ] && what="Java $major without $tool in $home"
    case "$newline$found$newline" in
        *"$newline$what$newline"*) ;;
        *) found="$found${found:+$newline}$what" ;;
    esac
}

[ -n "$JAVA_HOME" ] && try "$JAVA_HOME"
if command -v java >/dev/null 2>&1; then
    try "$(java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p')"
fi
IFS=$newline
for place in ${MEGABYTE4J_JAVA_PLACES-$usual_places}; do
    try "$place"
done

what=Java
[ "$tool" = javac ] && what="a JDK"
found=$(echo "$found" | paste -s -d '|' - | sed 's/|/, /g')
echo "megabyte4j needs $what $oldest or newer, but found ${found:-none}; install Temurin $oldest" \
    "(https://adoptium.net) or set JAVA_HOME to where it is" >&2
exit 1
