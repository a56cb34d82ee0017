package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Three steps of each optimiser in float32 against double precision, on every provider. */
class OptimizersTest {
    private static final double TOLERANCE = 1e-6;

    /** A parameter arena; {@code decays[i]} is about entry i. */
    private record Parameters(ParameterLayout layout, boolean... decays) { }

    /** Matrices, vectors and single elements, with gaps and without. */
    private static final Parameters SMALL = new Parameters(ParameterLayout.builder().add("a", true, 3, 5)
            .append("b", true, 4, 5).add("c", false, 7).add("d", false, 1).add("e", true, 33, 17).add("f", false, 17)
            .add("g", true, 1, 9).add("h", true, 9, 1).add("i", false, 65).build(),
            true, true, false, false, true, false, true, true, false);
    /** Worth several threads. */
    private static final Parameters LARGE = new Parameters(
            ParameterLayout.builder().add("a", false, 5).add("b", true, 173, 301).build(), false, true);

    private static CpuBackends backends;

    @BeforeAll
    static void open() {
        backends = new CpuBackends();
    }

    @AfterAll
    static void close() {
        backends.close();
    }

    /** One step of an optimiser. */
    private interface Step {
        void run(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor copy, Tensor gradients);
    }

    private interface Optimizer {
        /** Puts the optimiser's state among the tensors. */
        Step create(Comparison.Tensors t, Parameters all);
    }

    private static Function<Comparison.Tensors, Consumer<Ops>> work(Optimizer optimizer, Parameters all,
            float maxNorm) {
        return t -> work(t, optimizer, all, maxNorm, null);
    }

    /** @param copy of the parameters in bf16, or null */
    private static Consumer<Ops> work(Comparison.Tensors t, Optimizer optimizer, Parameters all, float maxNorm,
            Tensor copy) {
        Tensor parameters = t.changed("parameters", arena(t, all, 0.5));
        Tensor norm = t.result("norm", 1);
        Ops.Clip clip = maxNorm == Float.POSITIVE_INFINITY ? Ops.Clip.NONE : new Ops.Clip(norm, maxNorm);
        Step step = optimizer.create(t, all);
        Tensor[] gradients = new Tensor[3];
        Tensor[] scalars = new Tensor[3];
        for (int k = 0; k < 3; k++) {
            gradients[k] = arena(t, all, 1);
            scalars[k] = t.values(StepScalars.of(0.01f / (k + 1), (float) (1 - Math.pow(0.9, k + 1)),
                    (float) (1 - Math.pow(0.999, k + 1)), (float) (1 - Math.pow(k + 1, -0.8))), 4);
        }
        return ops -> {
            for (int k = 0; k < 3; k++) {
                ops.norm(gradients[k], norm);
                step.run(ops, scalars[k], clip, parameters, copy, gradients[k]);
            }
        };
    }

    /** Random numbers in the layout of the parameters, zeros in its gaps. */
    private static Tensor arena(Comparison.Tensors t, Parameters all, double deviation) {
        float[] values = new float[(int) all.layout.elements()];
        for (ParameterLayout.Entry entry : all.layout.entries()) {
            for (int i = 0; i < entry.elements(); i++) {
                values[(int) entry.offset() + i] = (float) (deviation * t.nextGaussian());
            }
        }
        return t.values(values, values.length);
    }

    private static Optimizer adamW(double weightDecay) {
        var settings = new Ops.AdamWSettings(0.9, 0.999, 1e-8, weightDecay);
        return (t, all) -> {
            Tensor first = t.changed("first moment", t.zeros(all.layout.elements()));
            Tensor second = t.changed("second moment", t.zeros(all.layout.elements()));
            return (ops, scalars, clip, p, copy, g) ->
                    ops.adamW(settings, all.layout, all.decays, scalars, clip, p, copy, g, first,
                            second);
        };
    }

    private static Optimizer anyPrecision(double weightDecay, boolean compensated) {
        var settings = new Ops.AdamWSettings(0.9, 0.999, 1e-8, weightDecay);
        return (t, all) -> {
            Tensor first = t.changed("first moment", t.zeros(all.layout.elements()));
            Tensor second = t.changed("second moment", t.zeros(all.layout.elements()));
            Tensor compensation = compensated ? t.zeros(all.layout.elements()) : null;
            return (ops, scalars, clip, p, copy, g) -> ops.anyPrecisionAdamW(settings, all.layout, all.decays, scalars,
                    clip, p, copy, g, first, second, compensation);
        };
    }

    private static Optimizer adafactor(Ops.AdafactorSettings settings) {
        return (t, all) -> {
            Tensor state = t.changed("state", t.zeros(Ops.adafactorStateElements(all.layout)));
            return (ops, scalars, clip, p, copy, g) ->
                    ops.adafactor(settings, all.layout, all.decays, scalars, clip, p, copy, g, state);
        };
    }

    static Stream<Optimizer> optimizers() {
        return Stream.of(adamW(0), adamW(0.1), anyPrecision(0, false), anyPrecision(0.1, false),
                anyPrecision(0.1, true), adafactor(new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, true, 0, false)),
                adafactor(new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, true, 0.1f, false)),
                adafactor(new Ops.AdafactorSettings(1e-30f, 1e-3f, 0.5f, true, 0, true)),
                adafactor(new Ops.AdafactorSettings(1e-3f, 2, 1, true, 0, false)),
                adafactor(new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, false, 0.1f, false)));
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void threeStepsWithAndWithoutClipping(Optimizer optimizer) {
        Comparison.check(backends.all(), TOLERANCE, work(optimizer, SMALL, Float.POSITIVE_INFINITY));
        Comparison.check(backends.all(), TOLERANCE, work(optimizer, SMALL, 1));
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void theComputeCopyHoldsTheNewParametersRounded(Optimizer optimizer) {
        Map<String, float[]> results = Comparison.run(backends.all().getFirst(), t -> {
            Tensor copy = t.scratch(DType.BF16, SMALL.layout.elements());
            Tensor result = t.result("copy", SMALL.layout.elements());
            Consumer<Ops> steps = work(t, optimizer, SMALL, 1, copy);
            return ops -> {
                steps.accept(ops);
                ops.copy(copy, result);
            };
        });
        float[] parameters = results.get("parameters");
        for (int i = 0; i < parameters.length; i++) {
            parameters[i] = BFloat16.round(parameters[i]);
        }
        assertThat(results.get("copy")).isEqualTo(parameters);
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void gradientsBelowTheLargestNormAreLeftAsTheyAre(Optimizer optimizer) {
        CpuBackend backend = backends.all().getFirst();
        Map<String, float[]> without = Comparison.run(backend, work(optimizer, SMALL, Float.POSITIVE_INFINITY));
        Map<String, float[]> with = Comparison.run(backend, work(optimizer, SMALL, 1e6f));
        without.forEach((name, values) -> assertThat(with.get(name)).as(name).isEqualTo(values));
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void gapsBetweenParametersStayZero(Optimizer optimizer) {
        boolean[] used = new boolean[(int) SMALL.layout.elements()];
        SMALL.layout.entries().forEach(e ->
                Arrays.fill(used, (int) e.offset(), (int) (e.offset() + e.elements()), true));
        for (CpuBackend backend : List.of(backends.all().getFirst(), backends.all().getLast())) {
            float[] parameters = Comparison.run(backend, work(optimizer, SMALL, 1)).get("parameters");
            for (int i = 0; i < used.length; i++) {
                assertThat(used[i] || parameters[i] == 0).as("element %d in a gap: %s", i, parameters[i]).isTrue();
            }
        }
    }

    /** These work on each element by itself. */
    @Test
    void adamWIsTheSameForAnyNumberOfThreads() {
        for (Optimizer optimizer : List.of(adamW(0.1), anyPrecision(0.1, true))) {
            Map<String, float[]> expected = steps(1, optimizer);
            for (int threads : new int[] {2, 3}) {
                steps(threads, optimizer).forEach((name, values) ->
                        assertThat(values).as(name).isEqualTo(expected.get(name)));
            }
        }
    }

    private static Map<String, float[]> steps(int threads, Optimizer optimizer) {
        try (CpuBackend backend = CpuBackend.open(threads)) {
            return Comparison.run(backend, work(optimizer, LARGE, 1));
        }
    }

    /** Squares of such gradients do not fit float32. */
    @Test
    void theNormOfTinyAndHugeGradients() {
        for (double size : new double[] {1e-30, 1e30}) {
            for (int count : new int[] {1, 7, 65_536, 150_003}) {
                Comparison.check(backends.all(), 1e-7, t -> {
                    Tensor x = t.normal(size, count);
                    Tensor norm = t.result("norm", 1);
                    return ops -> ops.norm(x, norm);
                });
            }
        }
    }

    @Test
    void theNormIsTheSameForAnyNumberOfThreads() {
        float[] expected = norm(1);
        for (int threads : new int[] {2, 3, 4}) {
            assertThat(norm(threads)).isEqualTo(expected);
        }
    }

    private static float[] norm(int threads) {
        try (CpuBackend backend = CpuBackend.open(threads)) {
            return Comparison.run(backend, t -> {
                Tensor x = t.random(200_001);
                Tensor norm = t.result("norm", 1);
                return ops -> ops.norm(x, norm);
            }).get("norm");
        }
    }
}
