package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.backend.cpu.CpuBackend;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** The optimisers over arenas of all kinds of parameters, against double precision and against the CPU. */
class OptimizerKernelsTest {
    private static final double TOLERANCE = 1e-6;

    /** A parameter arena; {@code decays[i]} is about entry i. */
    private record Parameters(ParameterLayout layout, boolean... decays) {
        long elements() {
            return layout.elements();
        }
    }

    /** With gaps and without; runs that end within a group of four, and a matrix of one column and of one row. */
    private static final Parameters SMALL = new Parameters(ParameterLayout.builder().add("a", true, 3, 5)
            .append("b", false, 4, 5).append("c", true, 7, 1).add("d", false, 1).add("e", true, 33, 17)
            .add("f", false, 17).add("g", true, 1, 9).build(), true, false, true, false, true, false, true);

    /** Parameters of several blocks and tiles: one over a tile each way, a long vector, blocks without a border. */
    private static final Parameters LARGE = new Parameters(ParameterLayout.builder().add("a", false, 5)
            .add("b", true, 65, 257).add("c", false, 9001).add("d", true, 130, 40).append("e", false, 2, 40)
            .add("f", true, 3, 700).build(), false, true, false, true, false, true);

    /** One step of an optimiser. */
    private interface Step {
        void run(Ops ops, Tensor scalars, Ops.Clip clip, Tensor parameters, Tensor copy, Tensor gradients);
    }

    private interface Optimizer {
        /** Puts the optimiser's state among the tensors. */
        Step create(Tensors t, Parameters all);
    }

    private static Optimizer adamW(double weightDecay) {
        var settings = new Ops.AdamWSettings(0.9, 0.999, 1e-8, weightDecay);
        return (t, all) -> {
            Tensor first = state(t, all, "first moment", DType.F32);
            Tensor second = state(t, all, "second moment", DType.F32);
            return (ops, scalars, clip, p, copy, g) ->
                    ops.adamW(settings, all.layout, all.decays, scalars, clip, p, copy, g, first, second);
        };
    }

    /** @param compensation null for none */
    private static Optimizer anyPrecision(double weightDecay, DType momentum, DType variance, DType compensation) {
        var settings = new Ops.AdamWSettings(0.9, 0.999, 1e-8, weightDecay);
        return (t, all) -> {
            Tensor first = state(t, all, "first moment", momentum);
            Tensor second = state(t, all, "second moment", variance);
            Tensor lost = compensation == null ? null : state(t, all, "compensation", compensation);
            return (ops, scalars, clip, p, copy, g) -> ops.anyPrecisionAdamW(settings, all.layout, all.decays, scalars,
                    clip, p, copy, g, first, second, lost);
        };
    }

    private static Tensor state(Tensors t, Parameters all, String name, DType dtype) {
        return t.changed(name, t.values(dtype, new float[(int) all.elements()], all.elements()));
    }

    private static Optimizer adafactor(float epsilon1, float epsilon2, float threshold, boolean scale, float decay,
            boolean dynamic) {
        var settings = new Ops.AdafactorSettings(epsilon1, epsilon2, threshold, scale, decay, dynamic);
        return (t, all) -> {
            int elements = (int) Ops.adafactorStateElements(all.layout);
            Tensor state = t.changed("state", t.values(DType.F32, new float[elements], elements));
            return (ops, scalars, clip, p, copy, g) ->
                    ops.adafactor(settings, all.layout, all.decays, scalars, clip, p, copy, g, state);
        };
    }

    static Stream<Arguments> float32() {
        return Stream.of(named("AdamW", adamW(0)), named("AdamW with decay", adamW(0.1)),
                named("AnyPrecision", anyPrecision(0.1, DType.F32, DType.F32, null)),
                named("AnyPrecision with compensation", anyPrecision(0, DType.F32, DType.F32, DType.F32)),
                named("Adafactor", adafactor(1e-30f, 1e-3f, 1, true, 0, false)),
                named("Adafactor with decay", adafactor(1e-30f, 1e-3f, 1, true, 0.1f, false)),
                named("Adafactor with dynamic decay, clipped", adafactor(1e-30f, 1e-3f, 0.5f, true, 0, true)),
                named("Adafactor with large epsilons", adafactor(1e-3f, 2, 1, true, 0, false)),
                named("Adafactor without scale", adafactor(1e-30f, 1e-3f, 1, false, 0.1f, false)));
    }

    /** AnyPrecisionAdamW in the types that its state can have. */
    static Stream<Arguments> everyType() {
        DType[] types = {DType.F32, DType.BF16};
        return Stream.of(types).flatMap(momentum -> Stream.of(types)
                .flatMap(variance -> Stream.of(null, DType.F32, DType.BF16).map(compensation ->
                        named(momentum + " " + variance + " " + compensation,
                                anyPrecision(0.1, momentum, variance, compensation)))));
    }

    private static Arguments named(String name, Optimizer optimizer) {
        return Arguments.of(Named.of(name, optimizer));
    }

    /** Three steps with gradients of another size each, clipped and not. */
    private static Function<Tensors, Consumer<Ops>> steps(Optimizer optimizer, Parameters all, float maxNorm,
            DType dtype) {
        return t -> {
            Tensor parameters = t.changed("parameters", arena(t, all, 0.5, dtype));
            Tensor copy = t.changed("copy", t.values(DType.BF16, new float[(int) all.elements()], all.elements()));
            Tensor norm = t.float32Result("norm", 1);
            Ops.Clip clip = maxNorm == Float.POSITIVE_INFINITY ? Ops.Clip.NONE : new Ops.Clip(norm, maxNorm);
            Step step = optimizer.create(t, all);
            Tensor[] gradients = new Tensor[3];
            Tensor[] scalars = new Tensor[3];
            for (int k = 0; k < 3; k++) {
                gradients[k] = arena(t, all, 1 + k, dtype);
                scalars[k] = t.values(DType.F32, StepScalars.of(0.01f / (k + 1), (float) (1 - Math.pow(0.9, k + 1)),
                        (float) (1 - Math.pow(0.999, k + 1)), (float) (1 - Math.pow(k + 1, -0.8))), 4);
            }
            return ops -> {
                for (int k = 0; k < 3; k++) {
                    if (dtype == DType.F32) {
                        ops.norm(gradients[k], norm);
                    } else {
                        ops.fill(norm, 3 + k);
                    }
                    step.run(ops, scalars[k], clip, parameters, dtype == DType.F32 ? copy : null, gradients[k]);
                }
            };
        };
    }

    /** Random numbers in the layout of the parameters, zeros in its gaps. */
    private static Tensor arena(Tensors t, Parameters all, double deviation, DType dtype) {
        float[] values = new float[(int) all.elements()];
        for (ParameterLayout.Entry entry : all.layout.entries()) {
            for (int i = 0; i < entry.elements(); i++) {
                values[(int) entry.offset() + i] = (float) (deviation * t.nextGaussian());
            }
        }
        return t.values(dtype, values, values.length);
    }

    @ParameterizedTest
    @MethodSource("float32")
    void threeStepsWithAndWithoutClipping(Optimizer optimizer) {
        for (Parameters all : List.of(SMALL, LARGE)) {
            for (float maxNorm : new float[] {Float.POSITIVE_INFINITY, 1}) {
                check(steps(optimizer, all, maxNorm, DType.F32));
            }
        }
    }

    /** The copy is compared with the parameters it was made of: a bit of these can be a unit of bf16 there. */
    private static void check(Function<Tensors, Consumer<Ops>> work) {
        CudaBackend backend = TestDevice.backend();
        Map<String, float[]> expected = new LinkedHashMap<>(Comparison.expected(DType.F32, work));
        expected.remove("copy");
        expected.remove("compensation");   // in double precision there is nothing to compensate for
        List<Map<String, float[]>> runs = Comparison.run(backend, DType.F32, work, 2);
        expected.forEach((name, values) ->
                Comparison.near(backend, name, runs.getFirst().get(name), values, TOLERANCE));
        assertThat(runs.getFirst().get("copy")).isEqualTo(rounded(runs.getFirst().get("parameters")));
        Comparison.sameBits(backend, runs.getFirst(), runs.getLast());
        TestDevice.inRandomOrder(1, () -> Comparison.sameBits(backend, runs.getFirst(),
                Comparison.run(backend, DType.F32, work, 1).getFirst()));
    }

    private static float[] rounded(float[] values) {
        float[] result = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            int bits = Float.floatToRawIntBits(values[i]);
            result[i] = Float.intBitsToFloat(bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000);
        }
        return result;
    }

    /** AnyPrecisionAdamW is the same operation for operation, whatever its state is. */
    @ParameterizedTest
    @MethodSource("everyType")
    void theBitsAreThoseOfTheCpu(Optimizer optimizer) {
        try (CpuBackend cpu = CpuBackend.open(1)) {
            for (Parameters all : List.of(SMALL, LARGE)) {
                sameBits(cpu, steps(optimizer, all, 2, DType.F32));
            }
        }
    }

    private static void sameBits(Backend cpu, Function<Tensors, Consumer<Ops>> work) {
        Map<String, float[]> expected = new LinkedHashMap<>(Comparison.run(cpu, DType.F32, work, 1).getFirst());
        Map<String, float[]> actual = new LinkedHashMap<>(Comparison.run(TestDevice.backend(), DType.F32, work, 1)
                .getFirst());
        Comparison.sameBits(TestDevice.backend(), expected, actual);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void parametersAndGradientsMayBeBf16(boolean compensated) {
        Optimizer optimizer = anyPrecision(0.1, DType.BF16, DType.BF16, compensated ? DType.BF16 : null);
        try (CpuBackend cpu = CpuBackend.open(1)) {
            sameBits(cpu, steps(optimizer, LARGE, 2, DType.BF16));
            sameBits(cpu, steps(optimizer, SMALL, Float.POSITIVE_INFINITY, DType.BF16));
        }
    }

    @ParameterizedTest
    @MethodSource("float32")
    void gapsBetweenParametersStayZero(Optimizer optimizer) {
        boolean[] used = new boolean[(int) SMALL.elements()];
        SMALL.layout.entries().forEach(e ->
                Arrays.fill(used, (int) e.offset(), (int) (e.offset() + e.elements()), true));
        Map<String, float[]> results = KernelComparison.run(DType.F32, steps(optimizer, SMALL, 1, DType.F32));
        for (int i = 0; i < used.length; i++) {
            assertThat(used[i] || results.get("parameters")[i] == 0 && results.get("copy")[i] == 0)
                    .as("element %d", i).isTrue();
        }
    }

    /** Two sets of decay flags over one layout are two tables. */
    @Test
    void otherFlagsAreOtherTables() {
        Parameters none = new Parameters(SMALL.layout, new boolean[SMALL.decays.length]);
        Map<String, float[]> decayed = KernelComparison.run(DType.F32, steps(adamW(0.5), SMALL, 1, DType.F32));
        Map<String, float[]> not = KernelComparison.run(DType.F32, steps(adamW(0.5), none, 1, DType.F32));
        assertThat(decayed.get("parameters")).isNotEqualTo(not.get("parameters"));
        assertThat(not.get("parameters"))
                .isEqualTo(KernelComparison.run(DType.F32, steps(adamW(0), SMALL, 1, DType.F32)).get("parameters"));
    }

    /** Squares of such gradients do not fit float32. */
    @ParameterizedTest
    @ValueSource(ints = {1, 7, 64, 16_384, 16_385, 70_003})
    void theNormOfTinyAndHugeGradients(int count) {
        for (double size : new double[] {1e-30, 1, 1e30}) {
            KernelComparison.check(DType.F32, 1e-7, t -> {
                Tensor x = t.normal(size, count);
                Tensor norm = t.result("norm", 1);
                return ops -> ops.norm(x, norm);
            });
        }
    }

    /** A view that starts at an odd element cannot be read four at a time. */
    @Test
    void theNormOfAViewThatIsNotAligned() {
        KernelComparison.check(DType.F32, 1e-7, t -> {
            Tensor x = t.random(1001).part(1, 1000);
            Tensor norm = t.result("norm", 1);
            return ops -> ops.norm(x, norm);
        });
    }
}
