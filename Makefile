# What can be done here. Everything is built by Maven; src/main/sh/maven.sh finds a JDK for it.

MAVEN = src/main/sh/maven.sh
VERSION := $(shell sed -n 's/.*<version>\(.*\)<.version>.*/\1/p' pom.xml | head -1)
JVM_FLAGS = --add-modules jdk.incubator.vector --enable-native-access=ALL-UNNAMED -Xmx2g --sun-misc-unsafe-memory-access=allow
DIST = dist/megabyte4j-$(VERSION)
PEER_PYTHON = python3
GOLDEN = ../shared/golden

.PHONY: help demo test kernels simulator test-kernels-asan device-bundle bench bench-report compare dist clean

# What make demo learns from and for how long; its run folder.
DATA = demo
TIME = 2m
PROMPT = $(if $(filter demo,$(DATA)),    public )
RUN = runs/demo-$(shell date +%Y%m%d-%H%M%S)

help:
	@echo "make demo   trains a small model for about two minutes and lets it write; on your own text with DATA=FILE_OR_FOLDER"
	@echo "make test   builds everything and runs all tests"
	@echo "make kernels    compiles the CUDA kernels to PTX and counts their registers; needs nvcc"
	@echo "make simulator  builds the simulated CUDA device for the tests and --device simulated; needs g++"
	@echo "make test-kernels-asan"
	@echo "            runs the tests of the CUDA kernels on the simulated device under AddressSanitizer; some with TESTS=GeluKernelsTest"
	@echo "make device-bundle"
	@echo "            gathers what a machine with a GPU needs to test and measure, in native-build/out; needs nvcc and a JDK"
	@echo "make bench  runs the micro-benchmarks; some of them with BENCH_ARGS=\"Linear -f 1 -wi 1 -i 3\""
	@echo "make compare PEER_PYTHON=peer/bin/python"
	@echo "            times it against PyTorch into docs/benchmarks.md; COMPARE_ARGS=\"--rounds 3 --cases train-small\""
	@echo "make bench-report"
	@echo "            makes tables and pictures of docs/benchmarks.md and docs/performance.md from the figures in docs/benchmarks"
	@echo "make dist   makes $(DIST), to copy anywhere, and the Maven artifact in target/"
	@echo "make clean  removes everything that was built"

demo: RUN := $(RUN)
demo:
	$(MAVEN) --quiet -DskipTests -Prun package
	$(DIST)/bin/megabyte4j train --data "$(DATA)" --preset small --batch 4 --seq-len 256 --lr 0.002 --max-time $(TIME) --out "$(RUN)"
	@echo; echo "What the model writes by itself:"; echo
	$(DIST)/bin/megabyte4j generate "$(RUN)" --prompt "$(PROMPT)" --max-bytes 500 --seed 1
	@echo; echo "The loss curve is $(RUN)/loss.png. More text: $(DIST)/bin/megabyte4j generate $(RUN)"

test:
	native-build/kernels.sh --if-possible
	native-build/simulator-test.sh --if-possible
	$(MAVEN) -f reactor.xml verify

kernels:
	native-build/kernels.sh

simulator:
	native-build/simulator.sh

test-kernels-asan:
	native-build/kernels.sh --if-possible
	native-build/test-kernels-asan.sh $(TESTS)

device-bundle:
	GOLDEN="$(GOLDEN)" native-build/bundle.sh

bench:
	$(MAVEN) --quiet -f reactor.xml -DskipTests -Prun package
	java=$$(src/main/dist/lib/find-java.sh) && "$$java/bin/java" $(JVM_FLAGS) -cp "jmh/target/classes:jmh/target/lib/*" \
	    org.megabyte4j.jmh.Benchmarks jmh/target $(BENCH_ARGS)

bench-report:
	$(MAVEN) --quiet -f reactor.xml -DskipTests -Prun package
	java=$$(src/main/dist/lib/find-java.sh) && "$$java/bin/java" $(JVM_FLAGS) -Djava.awt.headless=true \
	    -cp "jmh/target/classes:jmh/target/lib/*" org.megabyte4j.jmh.BenchReport docs

compare: dist
	python3 jmh/compare.py --python "$(PEER_PYTHON)" $(if $(wildcard $(GOLDEN)),--golden "$(GOLDEN)") $(COMPARE_ARGS)

dist:
	native-build/kernels.sh --if-possible
	rm -rf $(DIST)
	$(MAVEN) --quiet -DskipTests -Prun,release package
	@echo "$(DIST)/bin/megabyte4j is ready; the Maven artifact with its sources and Javadoc is in target/"

clean:
	$(MAVEN) --quiet -f reactor.xml clean
	rm -rf dist native-build/out
