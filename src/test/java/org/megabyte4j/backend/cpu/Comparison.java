package org.megabyte4j.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Runs one piece of work on the same random numbers in double precision and on a CPU backend, and compares every
 * result: close to the reference, and the same bits when run again.
 */
final class Comparison {
    /** The tensors of one run. Results start as NaN, so what is not written or is read too early shows. */
    static final class Tensors {
        private final MemoryPlan plan = new MemoryPlan();
        private final Map<Tensor, float[]> floats = new LinkedHashMap<>();
        private final Map<Tensor, int[]> ints = new LinkedHashMap<>();
        private final Map<String, Tensor> results = new LinkedHashMap<>();
        private final Random random = new Random(17);

        /** Normally distributed around 0 with deviation 1. */
        Tensor random(long... shape) {
            return normal(1, shape);
        }

        Tensor normal(double deviation, long... shape) {
            return normal(0, deviation, shape);
        }

        Tensor normal(double mean, double deviation, long... shape) {
            float[] values = new float[(int) Tensor.elements(shape)];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (mean + deviation * random.nextGaussian());
            }
            return values(values, shape);
        }

        double nextGaussian() {
            return random.nextGaussian();
        }

        Tensor values(float[] values, long... shape) {
            Tensor tensor = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "t" + floats.size(), DType.F32, shape);
            floats.put(tensor, values);
            return tensor;
        }

        Tensor zeros(long... shape) {
            return values(new float[(int) Tensor.elements(shape)], shape);
        }

        /** Whole numbers from 0 to {@code bound}, exclusive. */
        Tensor ids(int bound, long... shape) {
            return ints(random.ints(Tensor.elements(shape), 0, bound).toArray()).view(shape);
        }

        /** Scratch of a dtype that is not compared. */
        Tensor scratch(DType dtype, long... shape) {
            return plan.scratch("s" + plan.regions().size(), dtype, shape);
        }

        Tensor ints(int... values) {
            Tensor tensor = plan.tensor(MemoryPlan.Category.INPUTS, "i" + ints.size(), DType.I32, values.length);
            ints.put(tensor, values);
            return tensor;
        }

        /** A result that is replaced. */
        Tensor result(String name, long... shape) {
            Tensor tensor = normal(Double.NaN, shape);
            results.put(name, tensor);
            return tensor;
        }

        /** A result that is added to, or that is an operand as well. */
        Tensor changed(String name, long... shape) {
            return changed(name, random(shape));
        }

        Tensor changed(String name, Tensor tensor) {
            results.put(name, tensor);
            return tensor;
        }

        private void fill(Backend backend) {
            floats.forEach(backend::write);
            ints.forEach(backend::write);
        }
    }

    private Comparison() {
    }

    /** @param work declares its tensors and gives what is to be done with them; called once for each backend */
    static void check(List<CpuBackend> backends, double tolerance, Function<Tensors, Consumer<Ops>> work) {
        Map<String, float[]> expected;
        try (ReferenceBackend reference = new ReferenceBackend()) {
            expected = run(reference, work);
        }
        for (CpuBackend cpu : backends) {
            List<Map<String, float[]>> runs = run(cpu, work, 2);
            expected.forEach((name, values) -> {
                float[] actual = runs.getFirst().get(name);
                double error = relativeError(actual, values);
                assertTrue(error <= tolerance, () -> name + " is off by " + error + ", allowed " + tolerance + ": "
                        + cpu.description());
                assertArrayEquals(actual, runs.getLast().get(name), 0, () -> name + " differs when computed again: "
                        + cpu.description());
            });
        }
    }

    /** One run's results by name. */
    static Map<String, float[]> run(Backend backend, Function<Tensors, Consumer<Ops>> work) {
        return run(backend, work, 1).getFirst();
    }

    private static List<Map<String, float[]>> run(Backend backend, Function<Tensors, Consumer<Ops>> work, int times) {
        Tensors tensors = new Tensors();
        Consumer<Ops> program = work.apply(tensors);
        Ops ops = backend.plan(tensors.plan, program);
        try (MemoryPlan plan = tensors.plan) {
            backend.allocate(plan);
            List<Map<String, float[]>> runs = new ArrayList<>();
            for (int i = 0; i < times; i++) {
                tensors.fill(backend);
                program.accept(ops);
                Map<String, float[]> results = new LinkedHashMap<>();
                tensors.results.forEach((name, tensor) -> results.put(name, backend.readFloats(tensor)));
                runs.add(results);
            }
            return runs;
        }
    }

    /** {@code ||a - b|| / ||b||}; NaN, which no tolerance allows, if there is one in either. */
    static double relativeError(float[] actual, float[] expected) {
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            double d = (double) actual[i] - expected[i];
            difference += d * d;
            size += (double) expected[i] * expected[i];
        }
        return difference == 0 ? 0 : Math.sqrt(difference / size);
    }
}
