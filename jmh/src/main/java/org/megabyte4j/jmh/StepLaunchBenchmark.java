package org.megabyte4j.jmh;

import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.megabyte4j.backend.cuda.CudaBackend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The host's time of a replayed training step: ids checked, counted and copied, one graph launched. The model is so
 * small that the GPU keeps up; waiting for it comes between invocations and is not measured.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(2)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class StepLaunchBenchmark {
    private static final MegabyteConfig MODEL = new MegabyteConfig(Variant.IN_ACTION, 300, 8, 8, 16, 2048, 1, 1, 1, 1,
            0.02, 257, 258);

    /** Sequences x bytes; the larger is that of the preset benchmark at batch 32. */
    @Param({"1x64", "32x2048"})
    private String shape;

    private CudaBackend backend;
    private Parameters parameters;
    private Trainer trainer;
    private int[] ids;

    @Setup(Level.Trial)
    public void open() {
        int[] sizes = Program.sizes(shape);
        backend = Program.openGpu();
        parameters = Parameters.initialized(MODEL, DType.BF16, backend, 1);
        trainer = Trainer.create(parameters, TrainOptions.of(sizes[0], sizes[1], 1e-4), backend);
        ids = new Random(1).ints((long) sizes[0] * sizes[1], 0, 256).toArray();
        for (int step = 0; step < 3; step++) {
            trainer.step(ids);
        }
    }

    @TearDown(Level.Invocation)
    public void await() {
        backend.synchronize();
    }

    @TearDown(Level.Trial)
    public void close() {
        trainer.close();
        parameters.close();
        backend.close();
    }

    @Benchmark
    public void step() {
        trainer.step(ids);
    }
}
