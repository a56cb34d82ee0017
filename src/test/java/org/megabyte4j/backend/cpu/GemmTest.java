package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.ffi.OpenBlas;

/** Matrix products of every provider against double precision. */
class GemmTest {
    private static final int[][] SIZES = {{1, 1, 1}, {1, 7, 3}, {5, 1, 2}, {3, 4, 1}, {13, 17, 19}, {64, 65, 63},
            {4, 300, 33}, {129, 6, 130}};

    static Stream<Gemm> providers() {
        return Stream.of(new OpenBlasGemm(OpenBlas.open()), new JavaGemm(new VectorKernels()),
                new JavaGemm(new PlainKernels()));
    }

    @ParameterizedTest
    @MethodSource("providers")
    void everyTransposeAndLeadingDimension(Gemm gemm) {
        Random random = new Random(5);
        for (int[] size : SIZES) {
            for (int variant = 0; variant < 12; variant++) {
                boolean transposeA = (variant & 1) != 0;
                boolean transposeB = (variant & 2) != 0;
                float beta = variant < 4 ? 0 : variant < 8 ? 1 : -0.5f;
                check(gemm, random, transposeA, transposeB, size[0], size[1], size[2], variant % 3, beta);
            }
        }
    }

    /** @param gap elements between the end of a row and the next one */
    private static void check(Gemm gemm, Random random, boolean transposeA, boolean transposeB, int m, int n, int k,
            int gap, float beta) {
        float alpha = 0.75f;
        int lda = (transposeA ? m : k) + gap;
        int ldb = (transposeB ? k : n) + gap;
        int ldc = n + gap;
        float[] a = random(random, (transposeA ? k : m) * lda);
        float[] b = random(random, (transposeB ? n : k) * ldb);
        float[] c = random(random, m * ldc);
        float[] expected = c.clone();
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                double sum = beta * c[i * ldc + j];
                for (int l = 0; l < k; l++) {
                    sum += alpha * a[transposeA ? l * lda + i : i * lda + l] * (double) b[transposeB ? j * ldb + l
                            : l * ldb + j];
                }
                expected[i * ldc + j] = (float) sum;
                if (beta == 0) {
                    c[i * ldc + j] = Float.NaN;
                }
            }
        }
        float[] actual = new float[c.length];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = copy(arena, c);
            gemm.multiply(transposeA, transposeB, m, n, k, alpha, copy(arena, a), lda, copy(arena, b), ldb, beta,
                    result, ldc);
            MemorySegment.copy(result, 0, MemorySegment.ofArray(actual), 0, 4L * actual.length);
        }
        assertThat(Comparison.relativeError(actual, expected))
                .as("%s: %d x %d x %d, transposed %s %s, beta %s", gemm.description(), m, n, k, transposeA, transposeB,
                        beta)
                .isLessThan(1e-6);
    }

    private static float[] random(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static MemorySegment copy(Arena arena, float[] values) {
        MemorySegment segment = arena.allocate(4L * values.length, 64);
        MemorySegment.copy(MemorySegment.ofArray(values), 0, segment, 0, 4L * values.length);
        return segment;
    }
}
