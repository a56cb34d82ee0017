package org.megabyte4j.jmh;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.Generated;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
import org.megabyte4j.tensor.DType;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Greedy generation with caches, per byte: 64 bytes that bring the context to its full length. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
public class GenerationBenchmark {
    private static final int NEW_BYTES = 64;

    @Param({"small", "benchmark"})
    public String preset;

    /** Bytes of prompt and continuation together. */
    @Param({"64", "512"})
    public int context;

    /** In which the matrices are read. */
    @Param({"F32", "BF16"})
    public DType weights;

    private Backend backend;
    private Parameters parameters;
    private Generator generator;
    private GenerationRequest request;

    @Setup(Level.Trial)
    public void open() {
        backend = Program.open();
        parameters = Parameters.initialized(Presets.named(preset), backend, 1);
        generator = new Generator(backend, parameters, 1, context, Alignment.ALIGNED, weights);
        request = GenerationRequest.of(new byte[context - NEW_BYTES], NEW_BYTES).withStopAtEos(false);
    }

    @TearDown(Level.Trial)
    public void close() {
        generator.close();
        parameters.close();
        backend.close();
    }

    /** The prompt's own way through the model is part of it. */
    @Benchmark
    @OperationsPerInvocation(NEW_BYTES)
    public List<Generated> generatedByte() {
        return generator.generate(request);
    }
}
