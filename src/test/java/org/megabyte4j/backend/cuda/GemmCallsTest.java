package org.megabyte4j.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.ffi.CublasException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.Tensor;

/** How the libraries of matrix products are called: without garbage, in graphs, every failure seen, all given back. */
@EnabledIf("org.megabyte4j.backend.cuda.Simulator#isBuilt")
class GemmCallsTest {
    private static final int ROWS = 9;
    private static final int IN = 16;
    private static final int OUT = 8;

    private CudaBackend backend;
    private MemoryPlan plan;
    private Tensor x;
    private Tensor out;

    @BeforeEach
    void begin() {
        Simulator.load();
    }

    @AfterEach
    void end() {
        if (backend != null) {
            backend.close();
        }
        Simulator.set("FAIL", "");
    }

    /** A backend, and a program that multiplies in all ways. */
    private Runnable program(Blas blas, DType dtype) {
        backend = CudaBackend.open(CudaDriver.load(), 0, blas, true);
        plan = new MemoryPlan();
        x = plan.tensor(Category.ACTIVATIONS, "x", dtype, ROWS, IN);
        out = plan.tensor(Category.ACTIVATIONS, "out", dtype, ROWS, OUT);
        Tensor weight = plan.tensor(Category.PARAMETERS, "weight", dtype, OUT, IN);
        Tensor bias = plan.tensor(Category.PARAMETERS, "bias", dtype, OUT);
        Tensor addend = plan.tensor(Category.ACTIVATIONS, "addend", dtype, ROWS, OUT);
        Tensor dWeight = plan.tensor(Category.GRADIENTS, "dWeight", DType.F32, OUT, IN);
        Tensor dBias = plan.tensor(Category.GRADIENTS, "dBias", DType.F32, OUT);
        Consumer<Ops> program = ops -> {
            ops.linear(x, weight, bias, addend, out);
            ops.linear(x, weight, null, out, out);
            ops.linearInputGradient(out, weight, null, x);
            ops.linearWeightGradient(x, out, dWeight, dBias);
        };
        Ops ops = backend.plan(plan, program);
        backend.allocate(plan);
        if (dtype == DType.F32) {
            float[] values = new float[ROWS * IN];
            for (int i = 0; i < values.length; i++) {
                values[i] = (i % 13 - 6) / 8f;
            }
            backend.write(x, values);
            backend.write(weight, Arrays.copyOf(values, OUT * IN));
            backend.write(bias, Arrays.copyOf(values, OUT));
            backend.write(addend, Arrays.copyOf(values, ROWS * OUT));
        }
        return () -> program.accept(ops);
    }

    @ParameterizedTest
    @EnumSource(mode = Mode.EXCLUDE, names = "AUTO")
    void aCallMakesNoGarbageOnceItIsPrepared(Blas blas) {
        Runnable step = program(blas, DType.BF16);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long least = Long.MAX_VALUE;
        for (int i = 0; i < 20 && least > 0; i++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int j = 0; j < 200; j++) {
                step.run();
            }
            // Once the compiler has done with it, a few lambda forms of method handles no longer come up either.
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            backend.synchronize();
        }
        assertThat(least).isZero();
    }

    @ParameterizedTest
    @EnumSource(mode = Mode.EXCLUDE, names = "AUTO")
    void aCallAllocatesNothingOnTheDeviceAndDoesNotWait(Blas blas) {
        Runnable step = program(blas, DType.F32);
        step.run();
        backend.synchronize();
        long bytes = Simulator.live("bytes");
        Simulator.resetCalls();
        step.run();
        for (String waiting : List.of("cuMemAlloc", "cuMemFree", "cuStreamSynchronize", "cuCtxSynchronize",
                "cuEventSynchronize", "cuMemAllocAsync", "cublasLtMatmulAlgoGetHeuristic",
                "cublasLtMatmulDescCreate")) {
            assertThat(Simulator.calls(waiting)).as(waiting).isZero();
        }
        assertThat(Simulator.calls(blas == Blas.CUBLASLT ? "cublasLtMatmul" : "cublasGemmEx")).isEqualTo(4);
        assertThat(Simulator.live("bytes")).isEqualTo(bytes);
    }

    @ParameterizedTest
    @EnumSource(mode = Mode.EXCLUDE, names = "AUTO")
    void aReplayedGraphGivesTheSameBits(Blas blas) {
        Runnable step = program(blas, DType.F32);
        float[] start = backend.readFloats(x);
        step.run();
        float[] expected = backend.readFloats(out);
        float[] expectedGradient = backend.readFloats(x);
        try (CudaGraph graph = CudaGraph.capture(backend.context(), step)) {
            assertThat(backend.readFloats(x)).as("capturing runs nothing").isEqualTo(expectedGradient);
            Simulator.resetCalls();
            for (int i = 0; i < 3; i++) {
                backend.write(x, start);
                graph.launch();
                assertThat(backend.readFloats(out)).isEqualTo(expected);
                assertThat(backend.readFloats(x)).isEqualTo(expectedGradient);
            }
            assertThat(Simulator.calls("cublasLtMatmul") + Simulator.calls("cublasGemmEx")).isZero();
        }
    }

    @ParameterizedTest
    @EnumSource(mode = Mode.EXCLUDE, names = "AUTO")
    void everythingIsGivenBack(Blas blas) {
        long before = Simulator.live("handles");
        program(blas, DType.BF16).run();
        assertThat(Simulator.live("handles")).isGreaterThan(before);
        backend.close();
        assertThat(Simulator.live("handles")).isEqualTo(before);
    }

    @Test
    void aStatusOfCublasLtIsASentence() {
        Runnable step = program(Blas.CUBLASLT, DType.F32);
        Simulator.fail("cublasLtMatmul", 1, 13);
        assertThatThrownBy(step::run).isInstanceOf(CublasException.class).hasMessage("cuBLASLt's cublasLtMatmul failed"
                + " with code 13, CUBLAS_STATUS_EXECUTION_FAILED: the product could not be launched, as after a fault"
                + " of an earlier kernel; start again, from the last checkpoint if there is one");
    }

    @Test
    void aStatusOfJcublasIsASentence() {
        Runnable step = program(Blas.JCUBLAS, DType.F32);
        Simulator.fail("cublasGemmEx", 1, 14);
        assertThatThrownBy(step::run).isInstanceOf(CublasException.class).hasMessage("cuBLAS's cublasGemmEx failed with"
                + " code 14, CUBLAS_STATUS_INTERNAL_ERROR: this should not happen; report it as a bug, with the version"
                + " of the library");
    }

    /** Whatever call fails while a product is prepared, the failure is seen and nothing is left behind. */
    @ParameterizedTest
    @EnumSource(mode = Mode.EXCLUDE, names = "AUTO")
    void everyStatusIsCheckedAndNothingIsLeftAfterAFailure(Blas blas) {
        long before = Simulator.live("handles");
        List<String> functions = blas == Blas.CUBLASLT
                ? List.of("cublasLtMatmulDescCreate", "cublasLtMatrixLayoutCreate", "cublasLtMatmulDescSetAttribute",
                "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute",
                "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmulAlgoConfigGetAttribute", "cublasLtMatmul")
                : List.of("cublasCreate_v2", "cublasGetVersion_v2", "cublasSetStream_v2", "cublasSetMathMode",
                        "cublasSetAtomicsMode", "cublasSetWorkspace_v2", "cublasGemmEx");
        for (String function : functions) {
            for (int call = 1; call <= 2; call++) {
                Simulator.fail(function, call, 14);
                boolean once = blas == Blas.JCUBLAS && call == 2 && !function.equals("cublasGemmEx");
                if (!once) {
                    assertThatThrownBy(() -> program(blas, DType.F32).run()).as("%s, call %d", function, call)
                            .isInstanceOf(MegabyteException.class)
                            .hasMessageContaining("failed with code 14, CUBLAS_STATUS_INTERNAL_ERROR");
                }
                Simulator.set("FAIL", "");
                if (backend != null) {
                    backend.close();
                    backend = null;
                }
                assertThat(Simulator.live("handles")).as("%s, call %d", function, call).isEqualTo(before);
            }
        }
    }

    @Test
    void aLibraryThatDoesNotStartIsPassedOver() {
        Simulator.fail("cublasLtCreate", 1, 1);
        backend = CudaBackend.open(CudaDriver.load(), 0, Blas.CUBLASLT, true);
        assertThat(backend.kernels().products().description()).isEqualTo("cuBLASLt 12.6.4");
    }

    @Test
    void ifNoneStartsEachSaysWhy() {
        Simulator.set("FAIL", "cublasLtCreate:1+:1");
        String reason = "cuBLASLt's cublasLtCreate failed with code 1, CUBLAS_STATUS_NOT_INITIALIZED: the library does"
                + " not start on this GPU; its version may be newer than the driver, so update the driver or install"
                + " the version that fits it; ";
        assertThatThrownBy(() -> CudaBackend.open(CudaDriver.load(), 0, Blas.CUBLASLT, true))
                .hasMessage("cuBLASLt cannot be loaded; libcublasLt.so.13: " + reason + "libcublasLt.so.12: " + reason
                        + "install cuBLAS of CUDA 12 or 13 and put its folder on LD_LIBRARY_PATH");
    }
}
