# What can be done here. Everything is built by Maven; src/main/sh/maven.sh finds a JDK for it.

MAVEN   = src/main/sh/maven.sh
VERSION := $(shell sed -n 's/.*<version>\(.*\)<.version>.*/\1/p' pom.xml | head -1)
DIST    = dist/megabyte4j-$(VERSION)

.PHONY: help test dist clean

help:
	@echo "make test   builds everything and runs all tests"
	@echo "make dist   makes $(DIST), to copy anywhere, and the Maven artifact in target/"
	@echo "make clean  removes everything that was built"

test:
	$(MAVEN) -f reactor.xml verify

dist:
	rm -rf $(DIST)
	$(MAVEN) --quiet -DskipTests -Prun,release package
	@echo "$(DIST)/bin/megabyte4j is ready; the Maven artifact with its sources and Javadoc is in target/"

clean:
	$(MAVEN) --quiet -f reactor.xml clean
	rm -rf dist
