package org.megabyte4j.backend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Runs one piece of work on the same random numbers in double precision and on a backend, and compares every result:
 * close to the reference, and the same bits when run again.
 */
public final class Comparison {
    /**
     * The tensors of one run. Those without a dtype in their name are of the dtype that is computed in, values rounded
     * to it. Results start as NaN, so what is not written or is read too early shows.
     */
    public static final class Tensors {
        private final DType dtype;
        private final MemoryPlan plan = new MemoryPlan();
        private final Map<Tensor, float[]> floats = new LinkedHashMap<>();
        private final Map<Tensor, int[]> ints = new LinkedHashMap<>();
        private final Map<String, Tensor> results = new LinkedHashMap<>();
        private final Random random = new Random(17);

        private Tensors(DType dtype) {
            this.dtype = dtype;
        }

        /** What activations and weights are. */
        public DType dtype() {
            return dtype;
        }

        /** Normally distributed around 0 with deviation 1. */
        public Tensor random(long... shape) {
            return normal(1, shape);
        }

        public Tensor normal(double deviation, long... shape) {
            return normal(0, deviation, shape);
        }

        public Tensor normal(double mean, double deviation, long... shape) {
            return values(gaussian(mean, deviation, shape), shape);
        }

        private float[] gaussian(double mean, double deviation, long... shape) {
            float[] values = new float[(int) Tensor.elements(shape)];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (mean + deviation * random.nextGaussian());
            }
            return values;
        }

        public double nextGaussian() {
            return random.nextGaussian();
        }

        public Tensor values(float[] values, long... shape) {
            return values(dtype, values, shape);
        }

        public Tensor values(DType type, float[] values, long... shape) {
            Tensor tensor = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "t" + floats.size(), type, shape);
            floats.put(tensor, values);
            return tensor;
        }

        public Tensor zeros(long... shape) {
            return values(new float[(int) Tensor.elements(shape)], shape);
        }

        /** Whole numbers from 0 to {@code bound}, exclusive. */
        public Tensor ids(int bound, long... shape) {
            return ints(random.ints(Tensor.elements(shape), 0, bound).toArray()).view(shape);
        }

        /** Scratch of a dtype that is not compared. */
        public Tensor scratch(DType type, long... shape) {
            return plan.scratch("s" + plan.regions().size(), type, shape);
        }

        public Tensor ints(int... values) {
            Tensor tensor = plan.tensor(MemoryPlan.Category.INPUTS, "i" + ints.size(), DType.I32, values.length);
            ints.put(tensor, values);
            return tensor;
        }

        /** A result that is replaced. */
        public Tensor result(String name, long... shape) {
            return changed(name, normal(Double.NaN, shape));
        }

        /** A result that is added to, or that is an operand as well. */
        public Tensor changed(String name, long... shape) {
            return changed(name, random(shape));
        }

        /** Any tensor of floats or ints, or a part of one, as a result. */
        public Tensor changed(String name, Tensor tensor) {
            results.put(name, tensor);
            return tensor;
        }

        /** F32 whatever is computed in: normally distributed. */
        public Tensor float32(long... shape) {
            return values(DType.F32, gaussian(0, 1, shape), shape);
        }

        /** F32 whatever is computed in: a statistic, a result that is replaced. */
        public Tensor float32Result(String name, long... shape) {
            return changed(name, values(DType.F32, gaussian(Double.NaN, 1, shape), shape));
        }

        /** F32 whatever is computed in: a parameter's gradient, which is added to. */
        public Tensor float32Changed(String name, long... shape) {
            return changed(name, float32(shape));
        }

        private void fill(Backend backend) {
            floats.forEach((tensor, values) -> write(backend, tensor, values));
            ints.forEach(backend::write);
        }

        private static void write(Backend backend, Tensor tensor, float[] values) {
            if (tensor.dtype() == DType.F32) {
                backend.write(tensor, values);
                return;
            }
            short[] halves = new short[values.length];
            for (int i = 0; i < halves.length; i++) {
                halves[i] = Bf16.bits(values[i]);
            }
            backend.write(tensor, MemorySegment.ofArray(halves));
        }

        private static float[] read(Backend backend, Tensor tensor) {
            if (backend instanceof ReferenceBackend reference) {
                return narrowed(reference.readDoubles(tensor));
            }
            return tensor.dtype() == DType.I32 ? widened(backend.readInts(tensor)) : backend.readFloats(tensor);
        }

        private static float[] narrowed(double[] values) {
            float[] result = new float[values.length];
            for (int i = 0; i < result.length; i++) {
                result[i] = (float) values[i];
            }
            return result;
        }

        private static float[] widened(int[] values) {
            float[] result = new float[values.length];
            for (int i = 0; i < result.length; i++) {
                result[i] = values[i];
            }
            return result;
        }
    }

    private Comparison() {
    }

    /**
     * In float32, within a tolerance.
     *
     * @param work declares its tensors and gives what is to be done with them; called once for each backend
     */
    public static void check(List<? extends Backend> backends, double tolerance,
            Function<Tensors, Consumer<Ops>> work) {
        Map<String, float[]> expected = expected(DType.F32, work);
        for (Backend backend : backends) {
            List<Map<String, float[]>> runs = run(backend, DType.F32, work, 2);
            expected.forEach((name, values) -> near(backend, name, runs.getFirst().get(name), values, tolerance));
            sameBits(backend, runs.getFirst(), runs.getLast());
        }
    }

    /** The results in double precision, of inputs rounded to a dtype. */
    public static Map<String, float[]> expected(DType dtype, Function<Tensors, Consumer<Ops>> work) {
        try (ReferenceBackend reference = new ReferenceBackend()) {
            return run(reference, dtype, work, 1).getFirst();
        }
    }

    /** How far off plain bf16 arithmetic is, by the name of the result. */
    public static Map<String, Double> costOfBf16(Map<String, float[]> expected, Function<Tensors, Consumer<Ops>> work) {
        Map<String, Double> errors = new LinkedHashMap<>();
        try (ReferenceBackend plain = ReferenceBackend.plainBf16()) {
            run(plain, DType.BF16, work, 1).getFirst()
                    .forEach((name, values) -> errors.put(name, relativeError(values, expected.get(name))));
        }
        return errors;
    }

    public static void near(Backend backend, String name, float[] actual, float[] expected, double allowed) {
        double error = relativeError(actual, expected);
        assertTrue(error <= allowed, () -> name + " is off by " + error + ", allowed " + allowed + ": "
                + backend.description());
    }

    public static void sameBits(Backend backend, Map<String, float[]> first, Map<String, float[]> again) {
        first.forEach((name, values) -> assertArrayEquals(values, again.get(name), 0,
                () -> name + " differs when computed again: " + backend.description()));
    }

    /** One run's results by name, in float32. */
    public static Map<String, float[]> run(Backend backend, Function<Tensors, Consumer<Ops>> work) {
        return run(backend, DType.F32, work, 1).getFirst();
    }

    /** The results of several runs, each from the same start. */
    public static List<Map<String, float[]>> run(Backend backend, DType dtype, Function<Tensors, Consumer<Ops>> work,
            int times) {
        Tensors tensors = new Tensors(dtype);
        Consumer<Ops> program = work.apply(tensors);
        Ops ops = backend.plan(tensors.plan, program);
        try (MemoryPlan plan = tensors.plan) {
            backend.allocate(plan);
            List<Map<String, float[]>> runs = new ArrayList<>();
            for (int i = 0; i < times; i++) {
                tensors.fill(backend);
                program.accept(ops);
                Map<String, float[]> results = new LinkedHashMap<>();
                tensors.results.forEach((name, tensor) -> results.put(name, Tensors.read(backend, tensor)));
                runs.add(results);
            }
            return runs;
        }
    }

    /** {@code ||a - b|| / ||b||}; NaN, which no tolerance allows, if there is one in either. */
    public static double relativeError(float[] actual, float[] expected) {
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
