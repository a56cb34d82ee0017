#!/bin/sh
# Runs Maven with a JDK that is new enough for megabyte4j.

JAVA_HOME=$(sh "$(dirname "$0")/../dist/lib/find-java.sh" javac) || exit 1
export JAVA_HOME
if ! command -v mvn >/dev/null 2>&1; then
    echo "megabyte4j is built with Maven, but there is no mvn on the PATH; install Maven 3.8 or newer" \
        "(https://maven.apache.org, or the package maven of your system)" >&2
    exit 1
fi
# Maven's own libraries use what newer Javas warn about.
MAVEN_OPTS="--sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED $MAVEN_OPTS"
export MAVEN_OPTS
exec mvn --batch-mode --no-transfer-progress "$@"
