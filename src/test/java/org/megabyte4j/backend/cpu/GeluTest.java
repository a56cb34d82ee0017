package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.ReferenceBackend;
import org.megabyte4j.tensor.Tensor;

/** GELU and its derivative: each value of a sweep against double precision, on every provider. */
class GeluTest {
    /** Below this the tail of the normal distribution is subnormal, and may be 0. */
    private static final double TINY = 1e-36;

    private static CpuBackends backends;

    @BeforeAll
    static void open() {
        backends = new CpuBackends();
    }

    @AfterAll
    static void close() {
        backends.close();
    }

    private static float[] sweep() {
        float[] special = {0f, -0f, 1e-38f, -1e-38f, 1e-20f, -1e-20f, 1e-6f, -1e-6f, 20, -20, 100, -100, 1e10f, -1e10f,
            1e19f, -1e19f, 3e38f, -3e38f};
        float[] values = new float[special.length + 32_001];
        System.arraycopy(special, 0, values, 0, special.length);
        for (int i = special.length; i < values.length; i++) {
            values[i] = (i - special.length - 16_000) / 1000f;
        }
        return values;
    }

    private static Function<Comparison.Tensors, Consumer<Ops>> work(float[] values) {
        int count = values.length;
        return t -> {
            Tensor x = t.values(values, count, 1);
            Tensor identity = t.values(new float[] {1}, 1, 1);
            Tensor ones = t.zeros(count);
            Tensor preActivation = t.result("pre-activation", count, 1);
            Tensor forward = t.result("forward", count, 1);
            Tensor derivative = t.result("derivative", count);
            Tensor again = t.result("again", count);
            return ops -> {
                ops.fill(ones, 1);
                ops.linearGelu(x, identity, null, preActivation, forward);
                ops.geluBackward(preActivation.view(count), ones, derivative, again);
            };
        };
    }

    /**
     * What float32 costs: the rounding of x^2 / 2 is a relative error of the density, the polynomial and its last
     * operations cost a few bits.
     */
    @Test
    void everyValueIsCloseToDoublePrecision() {
        float[] values = sweep();
        Map<String, float[]> expected = run(new ReferenceBackend(), values);
        for (CpuBackend backend : backends.all()) {
            Map<String, float[]> actual = Comparison.run(backend, work(values));
            for (int i = 0; i < values.length; i++) {
                double x = values[i];
                double gelu = expected.get("forward")[i];
                double relative = 5e-7 + x * x * 0x1p-24;
                double density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
                double parts = (x == 0 ? 0.5 : gelu / x) + Math.abs(x) * density;
                near(backend, "forward", values[i], actual.get("forward")[i], gelu, relative * Math.abs(gelu));
                near(backend, "again", values[i], actual.get("again")[i], gelu, relative * Math.abs(gelu));
                near(backend, "derivative", values[i], actual.get("derivative")[i], expected.get("derivative")[i],
                        relative * parts);
            }
        }
    }

    private static Map<String, float[]> run(Backend backend, float[] values) {
        try (backend) {
            return Comparison.run(backend, work(values));
        }
    }

    private static void near(CpuBackend backend, String what, float x, double actual, double expected,
            double allowed) {
        if (!(Math.abs(actual - expected) <= allowed + TINY)) {
            throw new AssertionError(what + " of " + x + " is " + actual + ", not " + expected + ": "
                    + backend.description());
        }
    }

    @Test
    void notANumberStaysWhereItIs() {
        for (CpuBackend backend : backends.all()) {
            for (int at = 0; at < 37; at++) {
                float[] values = new float[37];
                values[at] = at % 2 == 0 ? Float.NaN : -Float.NaN;
                Map<String, float[]> results = Comparison.run(backend, work(values));
                for (String name : new String[] {"forward", "derivative", "again"}) {
                    float[] result = results.get(name);
                    assertThat(IntStream.range(0, 37).filter(i -> Float.isNaN(result[i]))).as(name).containsExactly(at);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 15, 16, 17, 511, 512, 513, 527, 4099, 30_011})
    void backwardMayWorkInPlace(int count) {
        Comparison.check(backends.all(), 1e-6, t -> {
            Tensor x = t.random(count);
            Tensor dOut = t.random(count);
            Tensor dX = t.result("dX", count);
            Tensor activated = t.result("activated", count);
            Tensor changedGradient = t.changed("dX on dActivated", count);
            Tensor changedInput = t.changed("activated on the pre-activation", count);
            return ops -> {
                ops.geluBackward(x, dOut, dX, activated);
                ops.geluBackward(changedInput, changedGradient, changedGradient, changedInput);
            };
        });
    }
}
