package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.megabyte4j.backend.Bf16;
import org.megabyte4j.ffi.CublasException;
import org.megabyte4j.ffi.MissingLibraryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Products of both libraries against double precision: each way to store, type, addend and alignment. */
class GemmTest {
    /** Float32 sums against double precision. */
    private static final double TOLERANCE = 1e-5;
    /** What no bf16 result may exceed, whatever plain arithmetic costs. */
    private static final double MOST_OF_BF16 = 1e-2;
    /** Elements before and after an operand that must stay as they are, and must not be read. */
    private static final int GUARD = 160;

    private static final List<CudaBackend> BACKENDS = new ArrayList<>();
    private static final Map<CudaBackend, Tensor> WORKSPACES = new HashMap<>();

    record Sizes(int m, int n, int k) { }

    /** Sides of 1, primes, one over a tile, and sides that the fastest algorithms want. */
    static Stream<Sizes> sizes() {
        return Stream.of(new Sizes(1, 1, 1), new Sizes(1, 7, 1), new Sizes(5, 1, 13), new Sizes(1, 1, 300),
                new Sizes(17, 7, 3), new Sizes(7, 17, 65), new Sizes(129, 33, 31), new Sizes(40, 97, 257),
                new Sizes(16, 64, 96), new Sizes(8, 400, 512));
    }

    enum Addend { NONE, OTHER, IN_PLACE }

    record Case(Sizes sizes, boolean transposeA, boolean transposeB, DType operands, DType result, Addend addend,
            boolean bias, int shift) { }

    @BeforeAll
    static void open() {
        BACKENDS.add(open(Blas.CUBLASLT));
        try {
            BACKENDS.add(open(Blas.JCUBLAS));
        } catch (MissingLibraryException e) {
            // A GPU's machine may have CUDA 13 alone; the simulated device has both.
            assertThat(TestDevice.isSimulated()).as(e.getMessage()).isFalse();
        }
        for (CudaBackend backend : BACKENDS) {
            MemoryPlan plan = new MemoryPlan();
            WORKSPACES.put(backend, plan.scratch("workspace", DType.U8,
                    backend.kernels().products().gemm().workspaceBytes()));
            backend.allocate(plan);
        }
    }

    private static CudaBackend open(Blas blas) {
        if (!TestDevice.isSimulated()) {
            return CudaBackend.open(blas);
        }
        Simulator.load();
        return CudaBackend.open(CudaDriver.load(), 0, blas, true);
    }

    @AfterAll
    static void close() {
        BACKENDS.forEach(CudaBackend::close);
        BACKENDS.clear();
        WORKSPACES.clear();
    }

    @ParameterizedTest
    @MethodSource("sizes")
    void everyFormIsTheProduct(Sizes sizes) {
        for (CudaBackend backend : BACKENDS) {
            for (int i = 0; i < 4; i++) {
                for (Addend addend : Addend.values()) {
                    for (boolean bias : new boolean[] {false, true}) {
                        check(backend, new Case(sizes, (i & 1) != 0, (i & 2) != 0, DType.F32, DType.F32, addend, bias, 0));
                        check(backend, new Case(sizes, (i & 1) != 0, (i & 2) != 0, DType.BF16, DType.BF16, addend, bias,
                                0));
                    }
                    check(backend, new Case(sizes, (i & 1) != 0, (i & 2) != 0, DType.BF16, DType.F32, addend, false, 0));
                }
            }
        }
    }

    /** Views may start at any element; 16 bytes is what the fastest algorithms want. */
    @ParameterizedTest
    @MethodSource("sizes")
    void operandsMayStartAnywhere(Sizes sizes) {
        for (CudaBackend backend : BACKENDS) {
            for (int shift : new int[] {1, 2, 4, 8, 32}) {
                check(backend, new Case(sizes, false, true, DType.F32, DType.F32, Addend.OTHER, true, shift));
                check(backend, new Case(sizes, false, true, DType.BF16, DType.BF16, Addend.IN_PLACE, true, shift));
                check(backend, new Case(sizes, true, false, DType.BF16, DType.F32, Addend.IN_PLACE, false, shift));
            }
        }
    }

    private static void check(CudaBackend backend, Case c) {
        Random random = new Random(5);
        Sizes s = c.sizes;
        try (MemoryPlan plan = new MemoryPlan()) {
            Operand a = new Operand(plan, c.operands, (long) s.m * s.k, c.shift, random);
            Operand b = new Operand(plan, c.operands, (long) s.k * s.n, c.shift, random);
            Operand d = new Operand(plan, c.result, (long) s.m * s.n, c.shift, random);
            Operand addend = switch (c.addend) {
                case NONE -> null;
                case OTHER -> new Operand(plan, c.result, (long) s.m * s.n, c.shift, random);
                case IN_PLACE -> d;
            };
            Operand bias = c.bias ? new Operand(plan, c.result, s.n, c.shift, random) : null;
            Gemm gemm = backend.kernels().products().gemm();
            Tensor workspace = WORKSPACES.get(backend);
            Gemm.Prepared product = gemm.prepare(new GemmShape(s.m, s.n, s.k, GemmShape.form(c.transposeA, c.transposeB,
                    a.view, b.view, tensor(addend), d.view, tensor(bias))));
            backend.allocate(plan);
            float[] first = null;
            for (int run = 0; run < 2; run++) {
                for (Operand operand : new Operand[] {a, b, addend, bias}) {
                    if (operand != null) {
                        operand.write(backend);
                    }
                }
                if (addend != d) {
                    d.writeNaN(backend);
                }
                product.run(a.view, b.view, tensor(addend), d.view, tensor(bias), workspace);
                float[] result = d.read(backend);
                if (first == null) {
                    first = result;
                }
                assertThat(result).as("computed again: %s", c).isEqualTo(first);
            }
            compare(backend, c, a.values, b.values, addend == null ? null : addend.values,
                    bias == null ? null : bias.values, first);
        }
    }

    private static Tensor tensor(Operand operand) {
        return operand == null ? null : operand.view;
    }

    /** bf16 may be twice as far off as with each of the formula's intermediate results rounded to bf16. */
    private static void compare(CudaBackend backend, Case c, float[] a, float[] b, float[] addend, float[] bias,
            float[] result) {
        Sizes s = c.sizes;
        double error = 0;
        double size = 0;
        double plainError = 0;
        for (int i = 0; i < s.m; i++) {
            for (int j = 0; j < s.n; j++) {
                double exact = 0;
                for (int p = 0; p < s.k; p++) {
                    exact += (double) a[c.transposeA ? p * s.m + i : i * s.k + p]
                            * b[c.transposeB ? j * s.k + p : p * s.n + j];
                }
                float plain = Bf16.round((float) exact);
                if (addend != null) {
                    exact += addend[i * s.n + j];
                    plain = Bf16.round(plain + addend[i * s.n + j]);
                }
                if (bias != null) {
                    exact += bias[j];
                    plain = Bf16.round(plain + bias[j]);
                }
                error += (result[i * s.n + j] - exact) * (result[i * s.n + j] - exact);
                plainError += (plain - exact) * (plain - exact);
                size += exact * exact;
            }
        }
        double allowed = c.result == DType.F32 ? TOLERANCE : Math.min(MOST_OF_BF16, 2 * Math.sqrt(plainError / size));
        assertThat(Math.sqrt(error / size)).as("%s on %s", c, backend.description()).isLessThanOrEqualTo(allowed);
    }

    /** A matrix or vector in the middle of a buffer whose other elements are NaN. */
    private static final class Operand {
        private final Tensor buffer;
        private final Tensor view;
        private final int start;
        private final float[] values;

        Operand(MemoryPlan plan, DType dtype, long elements, int shift, Random random) {
            start = 128 + shift;
            buffer = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "operand", dtype, elements + start + GUARD);
            view = buffer.part(start, elements);
            values = new float[(int) elements];
            for (int i = 0; i < values.length; i++) {
                float value = (float) random.nextGaussian();
                values[i] = dtype == DType.BF16 ? Bf16.round(value) : value;
            }
        }

        void write(CudaBackend backend) {
            float[] all = new float[(int) buffer.elements()];
            Arrays.fill(all, Float.NaN);
            System.arraycopy(values, 0, all, start, values.length);
            write(backend, all);
        }

        void writeNaN(CudaBackend backend) {
            float[] all = new float[(int) buffer.elements()];
            Arrays.fill(all, Float.NaN);
            write(backend, all);
        }

        private void write(CudaBackend backend, float[] all) {
            backend.write(buffer, buffer.dtype() == DType.F32 ? MemorySegment.ofArray(all)
                    : MemorySegment.ofArray(halves(all)));
        }

        private static short[] halves(float[] all) {
            short[] halves = new short[all.length];
            for (int i = 0; i < all.length; i++) {
                halves[i] = Bf16.bits(all[i]);
            }
            return halves;
        }

        /** The elements of the operand; those around it have to be NaN still. */
        float[] read(CudaBackend backend) {
            float[] all = new float[(int) buffer.elements()];
            if (buffer.dtype() == DType.F32) {
                backend.read(buffer, MemorySegment.ofArray(all));
            } else {
                short[] halves = new short[all.length];
                backend.read(buffer, MemorySegment.ofArray(halves));
                for (int i = 0; i < all.length; i++) {
                    all[i] = Bf16.value(halves[i]);
                }
            }
            for (int i = 0; i < all.length; i++) {
                boolean within = i >= start && i < start + values.length;
                if (within == Float.isNaN(all[i])) {
                    throw new AssertionError("element " + (i - start) + " of " + values.length + " is " + all[i]);
                }
            }
            return Arrays.copyOfRange(all, start, start + values.length);
        }
    }

    @Test
    void aRefusedProductIsASentence() {
        assumeTrue(TestDevice.isSimulated(), "a GPU's library may not need that alignment");
        Gemm gemm = BACKENDS.getFirst().kernels().products().gemm();
        try (MemoryPlan plan = new MemoryPlan()) {
            Tensor a = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "a", DType.F32, 64);
            Gemm.Prepared product = gemm.prepare(new GemmShape(8, 8, 8, GemmShape.form(false, false, a, a, null, a, null)));
            Tensor workspace = WORKSPACES.get(BACKENDS.getFirst());
            Tensor odd = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "odd", DType.F32, 128);
            BACKENDS.getFirst().allocate(plan);
            assertThatThrownBy(() -> product.run(a, odd.part(1, 64), null, odd.part(64, 64), null, workspace))
                    .isInstanceOf(CublasException.class)
                    .hasMessage("cuBLASLt's cublasLtMatmul failed with code 15, CUBLAS_STATUS_NOT_SUPPORTED: the library"
                            + " does not offer this product; try another provider with --blas, and report this as a bug");
        }
    }
}
