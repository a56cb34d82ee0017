package org.megabyte4j.jmh;

import java.util.concurrent.TimeUnit;
import org.megabyte4j.backend.Ops;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Operations on one program's tensors. Results need no black hole: they lie off heap, where no compiler can tell that
 * nobody reads them. An operation never works on its own last output, except where adding to it is what it is for;
 * inputs are therefore the same in every invocation.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public abstract class OperationBenchmark {
    private Program program;
    private Ops ops;

    /** Plans the tensors. */
    abstract void plan(Program tensors);

    /** Calls every operation that is measured, in an order in which each finds its input. */
    abstract void everything(Ops on);

    /** The operations, on tensors that are there. */
    final Ops ops() {
        return ops;
    }

    /** The end of every benchmark: waits until the work is done. */
    final void done() {
        program.backend().synchronize();
    }

    @Setup(Level.Trial)
    public final void open() {
        program = new Program();
        plan(program);
        ops = program.start(this::everything);
    }

    @TearDown(Level.Trial)
    public final void close() {
        program.close();
    }
}
