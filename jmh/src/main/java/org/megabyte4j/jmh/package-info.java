/** JMH micro-benchmarks. {@code make bench BENCH_ARGS="Linear -p shape=64x64x64"} runs some of them. */
package org.megabyte4j.jmh;
