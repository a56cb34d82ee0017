package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;

/**
 * Compares the GPU's operations with double precision on the {@link TestDevice}: in float32 and bf16, the same bits
 * twice, and again with the threads of each block in random order.
 *
 * <pre>{@code
 * KernelComparison.check(t -> {
 *     Tensor x = t.random(5, 7);                     // of the dtype that is computed in
 *     Tensor out = t.result("out", 5, 7);            // replaced: NaN before
 *     Tensor mean = t.float32Result("mean", 5);      // F32 in either case
 *     Tensor dWeight = t.float32Changed("dWeight", 7);   // added to
 *     return ops -> ops.something(x, out, mean, dWeight);
 * });
 * }</pre>
 *
 * <p>In bf16 a result may be twice as far off as plain bf16 arithmetic of the same formula is, on inputs that are
 * rounded first: see {@link org.megabyte4j.backend.ReferenceBackend#plainBf16}. What that computes exactly, because its
 * result is F32, may be as far off as in float32. Nothing may be off by more than a hundredth.
 */
final class KernelComparison {
    /** For operations that only round in float32. */
    static final double FLOAT32 = 1e-5;
    private static final double MOST = 1e-2;

    private KernelComparison() {
    }

    static void check(Function<Tensors, Consumer<Ops>> work) {
        check(FLOAT32, work);
    }

    /** @param float32 the tolerance in float32 */
    static void check(double float32, Function<Tensors, Consumer<Ops>> work) {
        check(DType.F32, float32, work);
        check(DType.BF16, float32, work);
    }

    /** In one dtype. */
    static void check(DType dtype, double float32, Function<Tensors, Consumer<Ops>> work) {
        check(TestDevice.backend(), dtype, float32, work);
    }

    /** On another device than that of all tests. */
    static void check(CudaBackend backend, DType dtype, double float32, Function<Tensors, Consumer<Ops>> work) {
        Map<String, float[]> expected = Comparison.expected(dtype, work);
        Map<String, Double> cost = dtype == DType.F32 ? Map.of() : Comparison.costOfBf16(expected, work);
        List<Map<String, float[]>> runs = Comparison.run(backend, dtype, work, 2);
        expected.forEach((name, values) -> {
            double allowed = Math.max(float32, Math.min(MOST, 2 * cost.getOrDefault(name, 0.0)));
            Comparison.near(backend, dtype + " " + name, runs.getFirst().get(name), values, allowed);
        });
        Comparison.sameBits(backend, runs.getFirst(), runs.getLast());
        if (TestDevice.isSimulated()) {
            TestDevice.inRandomOrder(1, () -> Comparison.sameBits(backend, runs.getFirst(),
                    Comparison.run(backend, dtype, work, 1).getFirst()));
        }
    }

    /** One run's results by name. */
    static Map<String, float[]> run(DType dtype, Function<Tensors, Consumer<Ops>> work) {
        return Comparison.run(TestDevice.backend(), dtype, work, 1).getFirst();
    }
}
