package org.megabyte4j.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The vectorised kernels against the plain loops, which other tests hold against double precision: over runs with and
 * without a tail, which start anywhere. Everything around the runs is compared as well.
 */
class KernelsTest {
    private static final int[] COUNTS = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 511, 512, 513,
        1031};
    private static final int BUFFERS = 5;
    /** Elements before and after each run. */
    private static final int MARGIN = 19;

    private static final Kernels VECTOR = new VectorKernels();
    private static final Kernels PLAIN = new PlainKernels();

    /** A kernel, applied to buffers x; gives its sum, or 0 for none. */
    private interface Call {
        double run(Kernels kernels, MemorySegment[] x, int at, int count);
    }

    /** @param exact whether both must give the same bits; else sums may round in another order */
    private record Case(String name, boolean exact, Call call) {
        @Override
        public String toString() {
            return name;
        }
    }

    private interface Work {
        void run(Kernels kernels, MemorySegment[] x, int at, int count);
    }

    private static Case exact(String name, Work work) {
        return new Case(name, true, (k, x, at, n) -> {
            work.run(k, x, at, n);
            return 0;
        });
    }

    private static Case rounded(String name, Work work) {
        return new Case(name, false, exact(name, work).call);
    }

    private static MemorySegment from(MemorySegment x, int at) {
        return x.asSlice(4L * at);
    }

    static Stream<Case> cases() {
        var step = new Kernels.AdamWStep(0.5f, 0.99f, 0.9f, 0.1f, 0.99f, 0.01f, 0.02f, 0.3f, 1e-6f);
        return Stream.of(exact("fill", (k, x, at, n) -> k.fill(x[0], at, n, 1.5f)),
                exact("scale", (k, x, at, n) -> k.scale(x[0], at, n, 1.1f)),
                exact("add", (k, x, at, n) -> k.add(x[0], at + 3, x[1], at, n)),
                exact("addScaled", (k, x, at, n) -> k.addScaled(1.1f, x[0], at + 3, x[1], at, n)),
                rounded("product", (k, x, at, n) -> k.product(new Kernels.Weights(x[0], at, 6, 5, 4, 1), x[1], at, n,
                        x[2], at, n + 1, n, false)),
                rounded("product of transposed weights, added", (k, x, at, n) -> k.product(new Kernels.Weights(x[0], at,
                        5, 1, 3, 5), x[1], at, n + 1, x[2], at, n, n, true)),
                rounded("softmaxRows", (k, x, at, n) -> k.softmaxRows(x[0], at, 3, n + 1, x[1], at)),
                exact("expRows", (k, x, at, n) -> k.expRows(x[0], at, 3, n, x[1], at)),
                exact("transpose", (k, x, at, n) -> k.transpose(1.1f, x[0], at, 3, n, n, x[1], at, 4)),
                new Case("dot", false, (k, x, at, n) -> k.dot(x[0], at, x[1], at + 1, n)),
                new Case("sum", false, (k, x, at, n) -> k.sum(x[0], at, n)),
                new Case("max", true, (k, x, at, n) -> k.max(x[0], at, n)),
                new Case("sumOfSquares", false, (k, x, at, n) -> k.sumOfSquares(x[0], at, n)),
                new Case("squaredDeviation", false, (k, x, at, n) -> k.squaredDeviation(x[0], at, n, 0.3f)),
                exact("normalize", (k, x, at, n) ->
                        k.normalize(x[0], at, 0.3f, 1.1f, from(x[1], 2), from(x[2], 5), x[3], at, n)),
                new Case("weightedDeviation", false, (k, x, at, n) ->
                        k.weightedDeviation(x[0], at, x[1], at + 1, x[2], at + 2, n, 0.3f)),
                exact("addNormalized", (k, x, at, n) ->
                        k.addNormalized(x[0], x[1], at, 0.3f, 1.1f, from(x[2], at), n)),
                exact("normalizeBackward", (k, x, at, n) ->
                        k.normalizeBackward(x[0], x[1], at, 0.3f, 1.1f, from(x[2], 2), 0.1f, 0.2f, x[3], n)),
                exact("normalizeBackwardResidual", (k, x, at, n) -> k.normalizeBackwardResidual(x[0], x[1], at, 0.3f,
                        1.1f, from(x[2], 2), 0.1f, 0.2f, x[3], x[3], n)),
                exact("gelu", (k, x, at, n) -> k.gelu(x[0], at, x[1], at + 1, n)),
                exact("geluBackward", (k, x, at, n) -> k.geluBackward(x[0], x[1], x[2], x[3], at, n)),
                exact("exp", (k, x, at, n) -> k.exp(x[0], at, 0.7f, 1.3f, x[1], at + 1, n)),
                exact("exp in place", (k, x, at, n) -> k.exp(x[0], at, 0.7f, 1.3f, x[0], at, n)),
                new Case("sumExp", false, (k, x, at, n) -> k.sumExp(x[0], at, 0.7f, n)),
                rounded("addRamp", (k, x, at, n) -> k.addRamp(x[0], at, n, -0.5f, 0.01f)),
                exact("softmaxBackward", (k, x, at, n) -> k.softmaxBackward(x[0], at + 2, x[1], at, n, 0.3f, 1.1f)),
                rounded("adamW", (k, x, at, n) -> k.adamW(x[0], x[1], x[2], x[4], at, n, step)));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void vectorsDoWhatThePlainLoopsDo(Case c) {
        try (Arena arena = Arena.ofConfined()) {
            for (int count : COUNTS) {
                for (int at : new int[] {MARGIN, MARGIN + 1}) {
                    MemorySegment[] plain = buffers(arena, count);
                    MemorySegment[] vector = buffers(arena, count);
                    double expected = c.call.run(PLAIN, plain, at, count);
                    double actual = c.call.run(VECTOR, vector, at, count);
                    String name = c + " of " + count + " from " + at;
                    same(c, name, 8 * Math.sqrt(count), actual, expected);
                    for (int b = 0; b < BUFFERS; b++) {
                        for (long i = 0; i < elements(count); i++) {
                            same(c, name, 1, vector[b].getAtIndex(ValueLayout.JAVA_FLOAT, i),
                                    plain[b].getAtIndex(ValueLayout.JAVA_FLOAT, i));
                        }
                    }
                }
            }
        }
    }

    private static void same(Case c, String name, double roundings, double actual, double expected) {
        double allowed = c.exact ? 0 : roundings * 0x1p-21 * Math.max(1, Math.abs(expected));
        if (!(Math.abs(actual - expected) <= allowed) && actual != expected) {
            throw new AssertionError(name + ": " + actual + " instead of " + expected);
        }
    }

    /** Room for eight runs and what surrounds them. */
    private static int elements(int count) {
        return 8 * (count + 1) + 2 * MARGIN;
    }

    /** The same numbers each time; those of the last buffer are not negative, as second moments are. */
    private static MemorySegment[] buffers(Arena arena, int count) {
        Random random = new Random(11);
        MemorySegment[] buffers = new MemorySegment[BUFFERS];
        for (int b = 0; b < BUFFERS; b++) {
            buffers[b] = arena.allocate(4L * elements(count), 64);
            for (long i = 0; i < elements(count); i++) {
                float value = (float) (2 * random.nextGaussian());
                buffers[b].setAtIndex(ValueLayout.JAVA_FLOAT, i, b == BUFFERS - 1 ? value * value : value);
            }
        }
        return buffers;
    }
}
