package org.megabyte4j.jmh;

import java.util.concurrent.TimeUnit;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.backend.cuda.LaunchPaths;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What one launch of a kernel that ends at once costs: through JCuda, through Panama, and as a node of a replayed
 * graph. An invocation is a batch of {@value LaunchPaths#GRAPH_LAUNCHES}, fewer than the driver's queue takes. The
 * first three are the host's time: waiting for the GPU comes between invocations and is not measured (a batch takes so much longer
 * than a reading of the clock that {@link Level#Invocation} does no harm). The others include the GPU's: they end when
 * the batch is done.
 *
 * <p>It runs on the GPU, or with {@code -Dmegabyte4j.device=simulated} where there is none, which only shows that it
 * runs.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class LaunchBenchmark {
    private CudaBackend backend;
    private LaunchPaths paths;

    @Setup(Level.Trial)
    public void open() {
        backend = Program.openGpu();
        paths = new LaunchPaths(backend);
    }

    @TearDown(Level.Invocation)
    public void await() {
        backend.synchronize();
    }

    @TearDown(Level.Trial)
    public void close() {
        paths.close();
        backend.close();
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void jcuda() {
        for (int i = 0; i < LaunchPaths.GRAPH_LAUNCHES; i++) {
            paths.jcuda();
        }
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void panama() {
        for (int i = 0; i < LaunchPaths.GRAPH_LAUNCHES; i++) {
            paths.panama();
        }
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void graph() {
        paths.graph();
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void jcudaUntilDone() {
        jcuda();
        backend.synchronize();
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void panamaUntilDone() {
        panama();
        backend.synchronize();
    }

    @Benchmark
    @OperationsPerInvocation(LaunchPaths.GRAPH_LAUNCHES)
    public void graphUntilDone() {
        graph();
        backend.synchronize();
    }
}
