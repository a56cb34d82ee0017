package org.megabyte4j.jmh;

import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.model.Presets;
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

/** A whole training step: forward, backward, clipping, AdamW. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 3)
@Measurement(iterations = 5, time = 3)
public class TrainingStepBenchmark {
    /** preset, batch x sequence length in bytes. */
    @Param({"small 4x1024", "benchmark 1x2048", "benchmark 2x2048"})
    public String model;

    private Backend backend;
    private Parameters parameters;
    private Trainer trainer;
    private int[] ids;

    @Setup(Level.Trial)
    public void open() {
        String[] words = model.split(" ");
        int[] sizes = Program.sizes(words[1]);
        backend = Program.open();
        parameters = Parameters.initialized(Presets.named(words[0]), backend, 1);
        trainer = Trainer.create(parameters, TrainOptions.of(sizes[0], sizes[1], 1e-4), backend);
        ids = new Random(1).ints((long) sizes[0] * sizes[1], 0, 256).toArray();
    }

    @TearDown(Level.Trial)
    public void close() {
        trainer.close();
        parameters.close();
        backend.close();
    }

    @Benchmark
    public float step() {
        trainer.step(ids);
        return trainer.loss();
    }
}
